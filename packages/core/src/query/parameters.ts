import { isUint8Array } from 'node:util/types';
import type { Value } from '../driver.ts';
import { InvalidArgumentError } from '../errors.ts';
import type { Statement } from './sql.ts';

/**
 * A value that a caller may bind: a {@link Value} or a boolean. A boolean becomes 0 or 1.
 *
 * @example const value: BindValue = true;
 */
export type BindValue = Value | boolean;

/**
 * The parameters of one statement: an array in order, or an object with names for `:id`, `@id` and `$id`. Unknown keys
 * are ignored, except the names of call options, which are refused.
 *
 * @example const params: Params = { id: 1 };
 */
export type Params = readonly BindValue[] | Readonly<Record<string, BindValue>>;

const NONE: readonly Value[] = [];
/** A parameter object with one of these keys is a mistake of the caller. Other unknown keys are ignored. */
const CALL_OPTIONS = ['timeoutMs', 'signal', 'rowMode'];
const INT64_MAX = 2n ** 63n - 1n;
const INT64_MIN = -(2n ** 63n);

/**
 * Checks the parameters against the statement and puts them in order. SQLite binds NULL for a missing parameter.
 * node-sqlite3 also binds NULL for a type that it does not know (`undefined`, a BigInt), and a getter that throws ends
 * its process. So every value that passes here is a plain value, and each getter is read once.
 */
export function bind(statement: Statement, params: Params | undefined): readonly Value[] {
  const names = statement.parameters;
  if (params === undefined) {
    if (names.length === 0) return NONE;
    throw new InvalidArgumentError(`The statement has ${count(names.length)}, but none were given.`);
  }
  try {
    return Array.isArray(params)
      ? bindInOrder(names, params as readonly unknown[])
      : bindByName(names, params);
  } catch (error) {
    if (error instanceof InvalidArgumentError) throw error;
    throw new InvalidArgumentError('The parameters could not be read (a getter or a Proxy threw).', error);
  }
}

// Every statement passes here. So there is no closure, no name for a good value, and no array longer than the
// parameters.
function bindInOrder(names: readonly unknown[], params: readonly unknown[]): Value[] {
  if (params.length !== names.length) {
    throw new InvalidArgumentError(
      `The statement has ${count(names.length)}, but ${String(params.length)} were given. ` +
        'A value is bound with ?; more values need more of them.',
    );
  }
  const values = new Array<Value>(names.length);
  for (let index = 0; index < names.length; index += 1) values[index] = check(params[index], index);
  return values;
}

function bindByName(names: readonly (string | undefined)[], params: unknown): Value[] {
  if (typeof params !== 'object' || params === null || ArrayBuffer.isView(params) || params instanceof Date) {
    throw new InvalidArgumentError('Parameters must be an array or a plain object: [value], not value.');
  }
  const misplaced = CALL_OPTIONS.find((option) => Object.hasOwn(params, option) && !names.includes(option));
  if (misplaced !== undefined) {
    throw new InvalidArgumentError(
      `"${misplaced}" is an option, and options are the third argument: get(sql, [], { ${misplaced}: … }).`,
    );
  }
  return names.map((name, index) => {
    if (name === undefined) {
      throw new InvalidArgumentError(
        `Parameter ${String(index + 1)} is a "?" and has no name: give the parameters as an array.`,
      );
    }
    if (!Object.hasOwn(params, name)) {
      throw new InvalidArgumentError(
        `The parameter "${name}" is missing. Keys are written without the ":", "@" or "$".`,
      );
    }
    return check((params as Record<string, unknown>)[name], name);
  });
}

function count(parameters: number): string {
  return parameters === 1 ? '1 parameter' : `${String(parameters)} parameters`;
}

/** `name`: the name of the parameter, or its index in the array. */
function check(value: unknown, name: string | number): Value {
  switch (typeof value) {
    case 'string':
      // SQLite stores UTF-8. A lone half of a surrogate pair would come back as U+FFFD.
      if (!value.isWellFormed()) {
        throw refuse(
          name,
          'a string with half of a surrogate pair',
          'UTF-8 cannot hold it; use value.toWellFormed()',
        );
      }
      return value;
    case 'number':
      if (Number.isNaN(value))
        throw refuse(name, 'NaN', 'SQLite would store NULL; use null if that is what you mean');
      return value;
    case 'boolean':
      return value ? 1 : 0;
    case 'bigint':
      if (value > INT64_MAX || value < INT64_MIN)
        throw refuse(name, 'a bigint beyond 64 bits', 'bind it as a string');
      return value;
    case 'undefined':
      throw refuse(name, 'undefined', 'use null for NULL');
    case 'object':
      return checkObject(value, name);
    case 'symbol':
    case 'function':
      throw refuse(name, `a ${typeof value}`, 'SQLite stores null, numbers, strings and bytes');
  }
}

function checkObject(value: object | null, name: string | number): Value {
  if (value === null) return null;
  if (isUint8Array(value)) return copy(value, name);
  if (value instanceof Date) throw refuse(name, 'a Date', 'use date.toISOString() or date.getTime()');
  if (value instanceof ArrayBuffer || ArrayBuffer.isView(value)) {
    throw refuse(name, 'a buffer of another type', 'use new Uint8Array(…)');
  }
  if (Array.isArray(value))
    throw refuse(name, 'an array', 'use JSON.stringify(…) with json_each, or one ? per element');
  throw refuse(name, 'an object', 'use JSON.stringify(…)');
}

/** The largest value in SQLite, in bytes: https://www.sqlite.org/limits.html */
const MOST_BYTES = 2 ** 31 - 1;

/** Copies the bytes, because the statement may have to wait, and the caller may reuse its buffer in the meantime. */
function copy(value: Uint8Array, name: string | number): Uint8Array {
  // Drivers pass the length as a C int. A negative length would store an empty value.
  if (value.byteLength > MOST_BYTES) throw refuse(name, 'a buffer of 2 GiB or more', 'store it in parts');
  try {
    return new Uint8Array(value);
  } catch {
    throw refuse(name, 'a detached buffer', 'its bytes were transferred to somewhere else');
  }
}

function refuse(name: string | number, what: string, advice: string): InvalidArgumentError {
  const shown = typeof name === 'number' ? String(name + 1) : `"${name}"`;
  return new InvalidArgumentError(`Parameter ${shown} is ${what}, which cannot be bound: ${advice}.`);
}
