/** Leaves a transaction open. */
export default function setUp(database: { exec(sql: string): void }): void {
  database.exec('BEGIN');
}
