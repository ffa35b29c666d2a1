/*
 * A loadable SQLite extension with one SQL function, by which a thread interrupts statements of other threads:
 *
 *   sqlite_pool_interrupt()      the key of this connection: a random number, the same for as long as it is open
 *   sqlite_pool_interrupt(key)   interrupts what runs on the connection with that key; 1, or 0 if none has it
 *
 * It needs no C library, so one file serves glibc and musl; README.md says how to use it, build.ts how it is built.
 */
#include <sqlite3ext.h>

#ifdef _WIN32
#define EXPORT __declspec(dllexport)
#else
#define EXPORT __attribute__((visibility("default")))
#endif

typedef void Function(sqlite3_context *, int, sqlite3_value **);

/* One of the SQLite libraries of the process: that of Node.js, that of better-sqlite3, … */
typedef struct {
  const sqlite3_api_routines *sqlite;
  int connections;
} Library;

/* An open connection that has loaded the extension. Its function owns it. */
typedef struct Connection {
  Library *library;
  sqlite3 *db;
  sqlite3_int64 key;
  struct Connection *next;
} Connection;

enum { LIBRARIES = 8 };

/* The registry of the process, whichever threads and libraries use it: all that follows is touched under the lock. */
static char locked;
static Connection *connections;
static Library libraries[LIBRARIES];

/* A thread holds it for nanoseconds. One that finds it taken sleeps: the holder may wait for this very processor. */
static void lock(const sqlite3_api_routines *sqlite) {
  while (__atomic_test_and_set(&locked, __ATOMIC_ACQUIRE)) sqlite->sleep(1);
}

static void unlock(void) { __atomic_clear(&locked, __ATOMIC_RELEASE); }

/*
 * sqlite3_interrupt() must not be called "with a database connection that is closed or might close before
 * sqlite3_interrupt() returns" (sqlite.org/c3ref/interrupt.html). A connection closes through forget(), which waits for
 * the lock. sqlite3_interrupt() itself waits for nothing: it sets a flag.
 */
static int interrupt(const sqlite3_api_routines *sqlite, sqlite3_int64 key) {
  int found = 0;
  lock(sqlite);
  for (Connection *each = connections; each; each = each->next) {
    if (each->key != key) continue;
    each->library->sqlite->interruptx(each->db);
    found = 1;
  }
  unlock();
  return found;
}

static void call(Library *library, sqlite3_context *context, int count, sqlite3_value **arguments) {
  const sqlite3_api_routines *sqlite = library->sqlite;
  if (count == 0) {
    Connection *own = sqlite->user_data(context);
    sqlite->result_int64(context, own->key);
  } else if (count == 1) {
    sqlite->result_int(context, interrupt(sqlite, sqlite->value_int64(arguments[0])));
  } else {
    sqlite->result_error(context, "sqlite_pool_interrupt() takes one key, or nothing", -1);
  }
}

/*
 * SQLite hands a function nothing but a context, which only the library that made it can read. So each library has a
 * function of its own.
 */
#define FUNCTION(n) \
  static void function_##n(sqlite3_context *context, int count, sqlite3_value **arguments) { \
    call(&libraries[n], context, count, arguments); \
  }
FUNCTION(0) FUNCTION(1) FUNCTION(2) FUNCTION(3) FUNCTION(4) FUNCTION(5) FUNCTION(6) FUNCTION(7)

static Function *const functions[LIBRARIES] = {
  function_0, function_1, function_2, function_3, function_4, function_5, function_6, function_7,
};

/* The entry of a library, or a free one for it: none of its connections is left, and it may be unloaded by now. */
static Library *find(const sqlite3_api_routines *sqlite) {
  Library *found = 0;
  for (Library *each = libraries; each < libraries + LIBRARIES; each++) {
    if (each->connections == 0) found = each;
    else if (each->sqlite == sqlite) return each;
  }
  if (found) found->sqlite = sqlite;
  return found;
}

static int is_registered(const sqlite3 *db) {
  for (Connection *each = connections; each; each = each->next) {
    if (each->db == db) return 1;
  }
  return 0;
}

/* SQLite calls it when the function goes: its connection closes, or another function takes the name. */
static void forget(void *function) {
  Connection *connection = function;
  const sqlite3_api_routines *sqlite = connection->library->sqlite;
  lock(sqlite);
  Connection **link = &connections;
  while (*link != connection) link = &(*link)->next;
  *link = connection->next;
  connection->library->connections--;
  unlock();
  sqlite->free(connection);
}

/* The most characters that V8 puts into a string: node:buffer, constants.MAX_STRING_LENGTH. */
enum { LONGEST_TEXT = 536870888 };

/*
 * SQLite allows a text to be longer. node:sqlite before Node.js 24.15 ends the process when it reads one, or returns
 * nothing, and has no way to set this limit. SQLite then refuses such a value with SQLITE_TOOBIG.
 */
static void refuse_longer_texts(sqlite3 *db, const sqlite3_api_routines *sqlite) {
  if (sqlite->limit(db, SQLITE_LIMIT_LENGTH, -1) > LONGEST_TEXT) sqlite->limit(db, SQLITE_LIMIT_LENGTH, LONGEST_TEXT);
}

/* SQLite calls it when a connection loads the extension; this name is the one it looks for first in any file. */
EXPORT int sqlite3_extension_init(sqlite3 *db, char **error, const sqlite3_api_routines *sqlite) {
  refuse_longer_texts(db, sqlite);
  Connection *connection = sqlite->malloc64(sizeof *connection);
  if (!connection) return SQLITE_NOMEM;

  /* As many bits as a JavaScript number holds exactly. No key is 0, which is what SQLite makes of NULL. */
  sqlite3_uint64 random;
  do sqlite->randomness(sizeof random, &random);
  while (random >> 11 == 0);
  connection->key = (sqlite3_int64)(random >> 11);
  connection->db = db;

  lock(sqlite);
  int again = is_registered(db);
  Library *library = again ? 0 : find(sqlite);
  if (library) {
    library->connections++;
    connection->library = library;
    connection->next = connections;
    connections = connection;
  }
  unlock();

  if (!library) {
    sqlite->free(connection);
    if (again) return SQLITE_OK;
    *error = sqlite->mprintf("more than %d SQLite libraries in one process", LIBRARIES);
    return SQLITE_ERROR;
  }
  /* One function, so that it and its connection come and go together. If this fails, SQLite calls forget(). */
  return sqlite->create_function_v2(db, "sqlite_pool_interrupt", -1, SQLITE_UTF8 | SQLITE_DIRECTONLY, connection,
                                    functions[library - libraries], 0, 0, forget);
}
