/** What both bindings have of a database. */
interface Database {
  function(name: string, body: (...values: unknown[]) => unknown): void;
  exec(sql: string): void;
}

/** Prepares a connection: functions of its own, two of which end the thread. */
export default function setUp(database: Database): void {
  database.function('twice', (value) => Number(value) * 2);
  database.function('leave', () => process.exit(5));
  database.function('fill', () => {
    for (const memory: unknown[] = []; ;) memory.push(Array.from({ length: 10 }));
  });
  database.function('fail', () => {
    throw new Error('failed');
  });
  database.exec('CREATE TEMP TABLE prepared (n)');
}
