/** What both bindings have of a database. */
interface Database {
  function(name: string, body: (...values: unknown[]) => unknown): void;
  exec(sql: string): void;
}

/** Throws anything. */
function throwing(value: unknown): unknown {
  return (function* () {
    yield 0;
  })().throw(value);
}

const unreadable = new Proxy(new Error('unreadable'), {
  get() {
    throw new Error('not readable');
  },
});

/** Prepares a connection: functions of its own, two of which end the thread. */
export default function setUp(database: Database): void {
  database.function('twice', (value) => Number(value) * 2);
  database.function('leave', () => process.exit(5));
  database.function('fill', () => {
    // Many small objects: V8 ends the process where one allocation is larger than what Node.js leaves it to end the thread.
    for (let memory: unknown = null; ;) memory = { memory };
  });
  database.function('fail', () => {
    throw new Error('failed');
  });
  database.function('fail_text', () => throwing('text'));
  database.function('fail_nothing', () => throwing(undefined));
  database.function('fail_unreadable', () => throwing(unreadable));
  database.exec('CREATE TEMP TABLE prepared (n)');
}
