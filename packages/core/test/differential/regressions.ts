import type { Op, Program, ProgramOptions } from './program.ts';

const OPTIONS: ProgramOptions = {
  poolSize: 1,
  pools: 1,
  groupCommit: true,
  synchronous: 'NORMAL',
  statementCache: true,
  recursiveTriggers: false,
  pace: 0,
  oneConnection: false,
};

const STRICT =
  'CREATE TABLE s0 (id INTEGER PRIMARY KEY, a INTEGER, b ANY, tag INTEGER) STRICT; ' +
  "INSERT INTO s0 VALUES (1, 1, 1, 0), (2, 2, 2, 0), (3, 3, 'x', 0);";

const inserts = (...values: (number | string)[]): Op[] =>
  values.map((a) => ({ do: 'run', sql: 'INSERT INTO s0 (a, tag) VALUES (?, ?)', params: [a, '#'] }));

/** Programs that failed once, as the fuzz runner printed them, each with what was wrong. They stay for ever. */
export const REGRESSIONS: readonly { readonly title: string; readonly program: Program }[] = [
  {
    title: 'a wrong value among INSERTs into a STRICT table had the rows before it in twice',
    program: {
      options: OPTIONS,
      schema: STRICT,
      callers: [[{ do: 'together', ops: inserts(0, 0, 0, 0, 0, 0, 'yesterday') }]],
    },
  },
  {
    title: 'a statement that failed at its third row left two in a shared COMMIT',
    program: {
      options: OPTIONS,
      schema: STRICT,
      callers: [
        [
          {
            do: 'together',
            ops: [
              ...inserts(0, 0),
              {
                do: 'run',
                sql: 'INSERT INTO s0 (a, tag) SELECT b, ? FROM s0 WHERE id <= 3 ORDER BY id',
                params: ['#'],
              },
            ],
          },
        ],
      ],
    },
  },
  {
    title: 'an overflow in the second group of rows left the first in a shared COMMIT',
    program: {
      options: OPTIONS,
      schema:
        'CREATE TABLE from0 (g INTEGER, n INTEGER, tag INTEGER); CREATE TABLE to0 (n, tag INTEGER); ' +
        'INSERT INTO from0 VALUES (1, 1, 0), (2, 9223372036854775807, 0), (2, 1, 0), (3, 4, 0);',
      callers: [
        [
          { do: 'run', sql: 'INSERT INTO to0 (n, tag) VALUES (?, ?)', params: [0, '#'], abortAfter: 0 },
          {
            do: 'together',
            ops: [
              {
                do: 'run',
                sql: 'INSERT INTO to0 (n, tag) SELECT sum(n), ? FROM from0 GROUP BY g',
                params: ['#'],
              },
              {
                do: 'run',
                sql: 'INSERT INTO to0 (n, tag) SELECT sum(n), ? FROM from0 GROUP BY g',
                params: ['#'],
              },
              {
                do: 'batch',
                statements: [{ sql: 'INSERT INTO to0 (n, tag) VALUES (?, ?)', params: [0, '#'] }],
              },
            ],
          },
        ],
      ],
    },
  },
  {
    title: 'changes() counted two INSERTs that had gone in together',
    program: {
      options: { ...OPTIONS, oneConnection: true },
      schema:
        'CREATE TABLE n0 (id INTEGER PRIMARY KEY, rowid_before INTEGER DEFAULT (last_insert_rowid()), ' +
        'changes_before INTEGER DEFAULT (changes()), tag INTEGER); INSERT INTO n0 VALUES (50, 0, 0, 0); ' +
        'CREATE TABLE u1 (id INTEGER PRIMARY KEY, k INTEGER UNIQUE, v DEFAULT 0, tag INTEGER);',
      callers: [
        [{ do: 'transaction', steps: [], goesOn: false, end: 'resolve' }],
        [
          {
            do: 'together',
            ops: [
              { do: 'run', sql: 'INSERT INTO u1 (k, v, tag) VALUES (?, ?, ?)', params: [0, 0, '#'] },
              { do: 'run', sql: 'INSERT INTO u1 (k, v, tag) VALUES (?, ?, ?)', params: [5, 0, '#'] },
              {
                do: 'batch',
                statements: [{ sql: 'INSERT INTO n0 (id, tag) VALUES (?, ?)', params: [0, '#'] }],
              },
            ],
          },
        ],
      ],
    },
  },
  {
    title: 'INSERTs that went in together did not see a trigger that another pool had made',
    program: {
      options: { ...OPTIONS, pools: 2 },
      schema: STRICT,
      callers: [
        [
          {
            do: 'run',
            sql: 'CREATE /*#*/ TRIGGER IF NOT EXISTS late_s0 BEFORE INSERT ON s0 WHEN new.tag % 3 = 0 BEGIN SELECT RAISE(IGNORE); END',
            pool: 1,
          },
        ],
        [
          { do: 'together', ops: inserts(0, 0, 0) },
          { do: 'together', ops: inserts(0, 0, 6) },
        ],
      ],
    },
  },
  {
    title: 'a batch that had failed on a lease looked like an open transaction',
    program: {
      options: {
        poolSize: 1,
        pools: 1,
        groupCommit: true,
        synchronous: 'NORMAL',
        statementCache: true,
        recursiveTriggers: false,
        pace: 'free',
        oneConnection: false,
      },
      schema:
        "CREATE TABLE w0 (k TEXT , n INTEGER, doubled AS (n * 2) VIRTUAL CHECK (doubled <> 14), tag INTEGER, PRIMARY KEY (k, n) ) WITHOUT ROWID; INSERT INTO w0 VALUES ('a', 1, 0), ('B', 2, 0);",
      callers: [
        [
          {
            do: 'run',
            sql: 'INSERT INTO w0 (k, n, tag) VALUES (?, ?, ?)',
            olderRowid: true,
            params: ['a', 0, '#'],
          },
          {
            do: 'lease',
            steps: [
              {
                do: 'batch',
                statements: [
                  {
                    sql: 'INSERT INTO w0 (k, n, tag) VALUES (?, ?, ?)',
                    olderRowid: true,
                    params: ['a', 0, '#'],
                  },
                ],
              },
              {
                do: 'transaction',
                steps: [
                  {
                    do: 'run',
                    sql: 'INSERT INTO w0 (k, n, tag) VALUES (?, ?, ?)',
                    olderRowid: true,
                    params: ['a', 0, '#'],
                  },
                ],
                goesOn: false,
                end: 'resolve',
              },
            ],
            end: 'release',
          },
        ],
        [],
      ],
    },
  },
  {
    title: 'a cursor was opened after its transaction had been aborted',
    program: {
      options: {
        poolSize: 1,
        pools: 1,
        groupCommit: true,
        synchronous: 'NORMAL',
        statementCache: true,
        recursiveTriggers: false,
        pace: 0,
        oneConnection: false,
      },
      schema:
        "CREATE TABLE s0 (id INTEGER PRIMARY KEY, a INTEGER, b ANY, tag INTEGER) STRICT; INSERT INTO s0 VALUES (1, 1, 1, 0), (2, 2, 2, 0), (3, 3, 'x', 0);",
      callers: [
        [
          {
            do: 'lease',
            steps: [
              { do: 'script', sql: 'INSERT INTO s0 (a, tag) VALUES (0, #)' },
              {
                do: 'run',
                sql: "CREATE /*#*/ TRIGGER IF NOT EXISTS late_s0 BEFORE INSERT ON s0 WHEN new.tag % 3 = 0 BEGIN SELECT RAISE(ABORT, 'no'); END",
              },
              { do: 'run', sql: 'INSERT INTO s0 (a, tag) VALUES (?, ?)', params: [0, '#'] },
            ],
            end: 'release',
          },
          {
            do: 'transaction',
            steps: [
              { do: 'run', sql: 'INSERT INTO s0 (a, tag) VALUES (?, ?)', params: [0, '#'] },
              {
                do: 'iterate',
                sql: 'SELECT id, a, b, tag FROM s0 WHERE tag <> ? ORDER BY id',
                params: ['#'],
                rows: 1,
              },
            ],
            goesOn: true,
            end: 'resolve',
            abortAfter: 7,
          },
        ],
        [],
      ],
    },
  },
  {
    title:
      'what a trigger kept by RAISE(FAIL) was undone, where statements of a group were run again with savepoints',
    program: {
      options: { ...OPTIONS, driver: 'node:sqlite' },
      schema: `${STRICT} CREATE TRIGGER fails AFTER INSERT ON s0 WHEN new.a = 7 BEGIN SELECT RAISE(FAIL, 'no'); END;`,
      callers: [[{ do: 'together', ops: inserts(0, 0, 7, 0, 'yesterday', 0) }]],
    },
  },
  {
    title: 'an interrupt hit the ROLLBACK of a batch, and the other writes lost their connection',
    program: {
      options: {
        poolSize: 1,
        pools: 1,
        groupCommit: true,
        synchronous: 'NORMAL',
        statementCache: true,
        recursiveTriggers: false,
        pace: 0,
        oneConnection: false,
        driver: 'sqlite3',
      },
      schema:
        "CREATE TABLE t0 (id INTEGER PRIMARY KEY, up INTEGER REFERENCES t0 ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED, tag INTEGER); INSERT INTO t0 VALUES (1, NULL, 0), (2, 1, 0);\nCREATE TABLE s1 (id INTEGER PRIMARY KEY, a INTEGER, b ANY, tag INTEGER) STRICT; INSERT INTO s1 VALUES (1, 1, 1, 0), (2, 2, 2, 0), (3, 3, 'x', 0);",
      callers: [
        [
          {
            do: 'together',
            ops: [
              { do: 'run', sql: 'INSERT INTO t0 (up, tag) VALUES (?, ?)', params: [0, '#'] },
              { do: 'run', sql: 'INSERT INTO t0 (up, tag) VALUES (?, ?)', params: [0, '#'] },
              { do: 'run', sql: 'INSERT INTO t0 (up, tag) VALUES (?, ?)', params: [0, '#'] },
            ],
          },
          {
            do: 'together',
            ops: [
              { do: 'run', sql: 'INSERT INTO t0 (up, tag) VALUES (?, ?)', params: [0, '#'] },
              { do: 'run', sql: 'INSERT INTO t0 (up, tag) VALUES (?, ?)', params: [0, '#'], abortAfter: 12 },
              { do: 'run', sql: 'INSERT INTO t0 (up, tag) VALUES (?, ?)', params: [0, '#'] },
            ],
          },
        ],
      ],
    },
  },
];
