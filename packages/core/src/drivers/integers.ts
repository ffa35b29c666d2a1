/** An integer of SQLite that came as something else than a number: a number if that holds it. */
export function toInteger(exact: string | bigint): number | bigint {
  const number = Number(exact);
  return Number.isSafeInteger(number) ? number : BigInt(exact);
}
