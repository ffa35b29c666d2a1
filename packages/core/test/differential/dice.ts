/** Decisions that were drawn before it was known what they decide. Without any left the first choice is taken, which is the simplest. */
export class Dice {
  readonly #numbers: readonly number[];
  #at = 0;

  constructor(numbers: readonly number[]) {
    this.#numbers = numbers;
  }

  /** A whole number from 0, less than `end`. */
  below(end: number): number {
    const number = this.#numbers[this.#at] ?? 0;
    this.#at += 1;
    return number % end;
  }

  of<T>(choices: readonly [T, ...T[]]): T {
    return choices[this.below(choices.length)]!;
  }

  oneIn(many: number): boolean {
    return this.below(many) === many - 1;
  }
}
