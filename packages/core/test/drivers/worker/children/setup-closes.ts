/** Closes the database that it was given. */
export default function setUp(database: { close(): void }): void {
  database.close();
}
