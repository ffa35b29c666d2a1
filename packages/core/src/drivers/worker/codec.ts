import { constants } from 'node:buffer';
import type { Value } from '../../driver.ts';

/**
 * The encoding of values between the threads. It uses bytes, because structured clone costs five times as much for
 * large results. The values of a block keep their texts in one string, which is encoded and decoded at once and then
 * sliced.
 */

const NULL = 0;
/** A 32-bit integer, as a varint. */
const SMALL = 1;
/** An integer that a double holds exactly. */
const WHOLE = 2;
const DOUBLE = 3;
const INT64 = 4;
const TEXT = 5;
const BLOB = 6;
/** A text that is not in the string of its block. */
const OWN_TEXT = 7;

/** A value from or for SQLite. How a binding reads its integers does not matter. */
export type WireValue = Value | undefined;

/**
 * A message of at most this many bytes is sent as a string with one byte per character. A larger one is sent as an
 * `ArrayBuffer` that is transferred.
 */
const LONGEST_STRING_MESSAGE = 16_384;
/**
 * A text of more characters than this is not in the string of its block, and that string has at most so many. V8 makes
 * no string of more than half a billion characters, and a slice of a string keeps all of it in memory.
 */
const LONGEST_SHARED_TEXT = 16_384;
const LONGEST_SHARED_STRING = 16_777_216;
/** The size of the buffer that is kept between messages, in bytes. */
const KEPT_BYTES = 65_536;

/** The arguments of `postMessage`: the message, and the list of buffers to transfer. */
export interface Packed {
  readonly message: string | ArrayBuffer;
  readonly moved: ArrayBuffer[];
}

/** Writes one message after another. */
export class Writer {
  #bytes: Buffer = Buffer.allocUnsafeSlow(KEPT_BYTES);
  #view: DataView = viewOf(this.#bytes);
  #length = 0;

  /** The number of bytes written. */
  get length(): number {
    return this.#length;
  }

  /** Drops the bytes after `length`. */
  rewind(length: number): void {
    this.#length = length;
  }

  /** Returns the message, and begins the next one. */
  pack(): Packed {
    const length = this.#length;
    this.#length = 0;
    if (length <= LONGEST_STRING_MESSAGE)
      return { message: this.#bytes.toString('latin1', 0, length), moved: [] };
    const message = (this.#bytes.buffer as ArrayBuffer).slice(0, length);
    // A buffer that has grown is not kept.
    if (this.#bytes.length > KEPT_BYTES) this.#use(Buffer.allocUnsafeSlow(KEPT_BYTES));
    return { message, moved: [message] };
  }

  byte(value: number): void {
    this.#ensure(1);
    this.#bytes[this.#length] = value;
    this.#length += 1;
  }

  /** Writes an integer from 0 to 2^32 - 1. */
  uint(value: number): void {
    this.#ensure(5);
    let at = this.#length;
    let rest = value;
    while (rest > 0x7f) {
      this.#bytes[at] = (rest & 0x7f) | 0x80;
      rest >>>= 7;
      at += 1;
    }
    this.#bytes[at] = rest;
    this.#length = at + 1;
  }

  /** Throws `SQLITE_TOOBIG` for a text that the other thread cannot read. SQLite would refuse it, too. */
  text(value: string): void {
    const length = Buffer.byteLength(value);
    if (length > constants.MAX_STRING_LENGTH) throw tooBig();
    this.uint(length);
    this.#ensure(length);
    this.#length += this.#bytes.write(value, this.#length);
  }

  /** Reserves room for a size that is not known yet. Returns the argument for {@link Writer.endSize}. */
  beginSize(): number {
    this.#ensure(4);
    this.#length += 4;
    return this.#length;
  }

  endSize(from: number): void {
    this.#view.setUint32(from - 4, this.#length - from);
  }

  /** Writes any integer of SQLite. */
  integer(value: number | bigint): void {
    if (typeof value === 'bigint') this.#bigint(value);
    else this.#number(value);
  }

  /** Writes the values of one list, or of several lists one after another. */
  block(lists: Iterable<readonly WireValue[]>): void {
    let text = '';
    const size = this.beginSize();
    for (const list of lists) {
      for (const value of list) {
        if (typeof value === 'string') {
          if (value.length <= LONGEST_SHARED_TEXT && text.length <= LONGEST_SHARED_STRING) {
            this.byte(TEXT);
            this.uint(value.length);
            text += value;
          } else {
            this.byte(OWN_TEXT);
            this.text(value);
          }
        } else if (typeof value === 'number') this.#number(value);
        else if (value === null || value === undefined) this.byte(NULL);
        else if (typeof value === 'bigint') this.#bigint(value);
        else this.#blob(value);
      }
    }
    this.endSize(size);
    this.text(text);
  }

  #number(value: number): void {
    if ((value | 0) === value && !Object.is(value, -0)) {
      this.byte(SMALL);
      this.uint(((value << 1) ^ (value >> 31)) >>> 0);
      return;
    }
    this.byte(Number.isSafeInteger(value) && value !== 0 ? WHOLE : DOUBLE);
    this.#ensure(8);
    this.#view.setFloat64(this.#length, value);
    this.#length += 8;
  }

  #bigint(value: bigint): void {
    const number = Number(value);
    if (Number.isSafeInteger(number)) {
      this.#number(number);
      return;
    }
    this.byte(INT64);
    this.#ensure(8);
    this.#view.setBigInt64(this.#length, value);
    this.#length += 8;
  }

  #blob(value: Uint8Array): void {
    this.byte(BLOB);
    this.uint(value.byteLength);
    this.#ensure(value.byteLength);
    this.#bytes.set(value, this.#length);
    this.#length += value.byteLength;
  }

  #ensure(more: number): void {
    const needed = this.#length + more;
    if (needed <= this.#bytes.length) return;
    const grown = Buffer.allocUnsafeSlow(Math.max(needed, this.#bytes.length * 2));
    this.#bytes.copy(grown, 0, 0, this.#length);
    this.#use(grown);
  }

  #use(bytes: Buffer): void {
    this.#bytes = bytes;
    this.#view = viewOf(bytes);
  }
}

/** Reads one message after another. */
export class Reader {
  /** Whether integers are read as bigints. In the worker they must be, because both bindings bind a number as REAL. */
  readonly #exact: boolean;
  readonly #kept: Buffer = Buffer.allocUnsafeSlow(LONGEST_STRING_MESSAGE);
  readonly #keptView: DataView = viewOf(this.#kept);
  #bytes: Buffer = this.#kept;
  #view: DataView = this.#keptView;
  #at = 0;
  #end = 0;
  #text = '';
  #textAt = 0;
  #afterText = 0;

  constructor(exact: boolean) {
    this.#exact = exact;
  }

  /** Begins to read a message. */
  open(message: string | ArrayBuffer): void {
    this.#at = 0;
    if (typeof message === 'string') {
      this.#bytes = this.#kept;
      this.#view = this.#keptView;
      this.#end = this.#kept.write(message, 'latin1');
    } else {
      this.#bytes = Buffer.from(message);
      this.#view = viewOf(this.#bytes);
      this.#end = message.byteLength;
    }
  }

  /** Releases the memory of a message. */
  close(): void {
    this.#bytes = this.#kept;
    this.#view = this.#keptView;
  }

  /** Whether the message has been read to its end. */
  get done(): boolean {
    return this.#at >= this.#end;
  }

  byte(): number {
    this.#at += 1;
    return this.#view.getUint8(this.#at - 1);
  }

  uint(): number {
    let value = 0;
    for (let shift = 0; ; shift += 7) {
      const byte = this.byte();
      value |= (byte & 0x7f) << shift;
      if (byte < 0x80) return value >>> 0;
    }
  }

  text(): string {
    const length = this.uint();
    this.#at += length;
    return this.#bytes.toString('utf8', this.#at - length, this.#at);
  }

  /** Reads the size that {@link Writer.beginSize} reserved room for. */
  size(): number {
    this.#at += 4;
    return this.#view.getUint32(this.#at - 4);
  }

  /** Begins a block. Its values are then read one by one. */
  openBlock(): void {
    const size = this.size();
    const values = this.#at;
    this.#at = values + size;
    this.#text = this.text();
    this.#textAt = 0;
    this.#afterText = this.#at;
    this.#at = values;
  }

  /** Ends a block, after its last value. */
  closeBlock(): void {
    this.#at = this.#afterText;
    this.#text = '';
  }

  value(): Value {
    switch (this.byte()) {
      case NULL:
        return null;
      case SMALL: {
        const folded = this.uint();
        const value = (folded >>> 1) ^ -(folded & 1);
        return this.#exact ? BigInt(value) : value;
      }
      case WHOLE:
        return this.#exact ? BigInt(this.#double()) : this.#double();
      case DOUBLE:
        return this.#double();
      case INT64:
        this.#at += 8;
        return this.#view.getBigInt64(this.#at - 8);
      case TEXT: {
        const from = this.#textAt;
        this.#textAt += this.uint();
        return this.#text.slice(from, this.#textAt);
      }
      case OWN_TEXT:
        return this.text();
      default: {
        const length = this.uint();
        this.#at += length;
        // A copy, because a view would keep the whole message in memory. A Buffer, as other drivers return.
        return copyOf(this.#bytes.subarray(this.#at - length, this.#at));
      }
    }
  }

  /** Reads a block of `count` values. */
  values(count: number): Value[] {
    this.openBlock();
    const values = new Array<Value>(count);
    for (let at = 0; at < count; at += 1) values[at] = this.value();
    this.closeBlock();
    return values;
  }

  #double(): number {
    this.#at += 8;
    return this.#view.getFloat64(this.#at - 8);
  }
}

/** https://www.sqlite.org/rescode.html#toobig */
function tooBig(): Error {
  return Object.assign(new Error('string or blob too big'), { code: 'SQLITE_TOOBIG' });
}

function viewOf(bytes: Buffer): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** Not from the pool of Buffers: its shared memory would be visible through the copy. */
function copyOf(bytes: Uint8Array): Buffer {
  const copy = Buffer.allocUnsafeSlow(bytes.length);
  copy.set(bytes);
  return copy;
}
