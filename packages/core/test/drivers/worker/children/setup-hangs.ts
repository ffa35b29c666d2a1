export default function setUp(): Promise<void> {
  return new Promise(() => undefined);
}
