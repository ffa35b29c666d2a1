export default async function setUp(): Promise<void> {
  await Promise.reject(new Error('the setup failed'));
}
