/** Ends the thread while a database is opened. */
export default function setUp(): never {
  process.exit(5);
}
