import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { LinkedList, type Listed, type Place } from '../../src/waiting/linked-list.ts';

class Member implements Listed<Member> {
  place: Place<Member> | undefined;
  readonly name: number;

  constructor(name: number) {
    this.name = name;
  }
}

describe('a linked list', () => {
  it('is what a set is, whatever comes and goes in which order', () => {
    const step = fc.tuple(fc.constantFrom('add', 'delete', 'shift' as const), fc.nat(5));
    fc.assert(
      fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
        const members = Array.from({ length: 6 }, (_, name) => new Member(name));
        const list = new LinkedList<Member>();
        const set = new Set<Member>();
        for (const [what, name] of steps) {
          const member = members[name]!;
          const [oldest] = set;
          if (what === 'add') {
            list.add(member);
            set.add(member);
          } else if (what === 'delete') expect(list.delete(member)).toBe(set.delete(member));
          else {
            expect(list.shift()).toBe(oldest);
            if (oldest !== undefined) set.delete(oldest);
          }
          expect(list.toArray().map((one) => one.name)).toEqual([...set].map((one) => one.name));
          expect([list.size, list.first]).toEqual([set.size, [...set][0]]);
        }
      }),
    );
  });

  it('releases a member that leaves: one that is kept for long keeps nobody else', () => {
    const list = new LinkedList<Member>();
    const [first, second, third] = [new Member(1), new Member(2), new Member(3)];
    for (const member of [first, second, third]) list.add(member);
    list.delete(second);
    expect(second.place).toMatchObject({ before: undefined, behind: undefined });
    list.shift();
    expect(first.place).toMatchObject({ before: undefined, behind: undefined });
  });
});
