/**
 * The same attempts out of an engine that an ordinary user runs; and, as a program of its own, with a secret in its
 * environment and with open files that are inherited.
 */
import { afterAll, beforeAll, describe, expect, it } from "@effect/vitest"
import { Deferred, Effect, Exit } from "effect"
import type { Outcome } from "./Arena.js"
import { attempts, families } from "./attempts/index.js"
import { type Bundles, makeBundles, NOBODY, type Run, run } from "./runs.js"

const isRoot = process.geteuid?.() === 0

describe(`out of the embedded engine of ${isRoot ? "an ordinary user" : "a program of its own"}`, () => {
  const ending = new AbortController()
  let bundles: Bundles | undefined
  let making: Promise<Run> | undefined
  // One by one as they come: an attempt that hangs is then the one that fails, and none waits for all others.
  const outcomes = new Map(attempts.map(({ id }) => [id, Effect.runSync(Deferred.make<Outcome, Error>())]))
  const outcomeOf = (id: string) => outcomes.get(id) ?? Effect.dieMessage(`There is no attempt ${id}.`)
  const isOver = (why: Error) => {
    for (const outcome of outcomes.values()) Deferred.unsafeDone(outcome, Exit.fail(why))
  }
  beforeAll(async () => {
    bundles = await makeBundles()
    making = run(bundles, isRoot ? NOBODY : undefined, [], (outcome) => {
      const waiting = outcomes.get(outcome.id)
      if (waiting !== undefined) Deferred.unsafeDone(waiting, Exit.succeed(outcome))
    }, ending.signal)
    making.then(
      () => isOver(new Error("The suite has ended without this attempt.")),
      (error: unknown) => isOver(error instanceof Error ? error : new Error(String(error)))
    )
  })
  afterAll(async () => {
    ending.abort()
    await making?.catch(() => {})
    bundles?.remove()
  })

  for (const family of families) {
    describe(family.title, () => {
      for (const { id, title } of family.attempts) {
        it.live(`${id}: ${title}`, (context) =>
          Effect.gen(function*() {
            const { how, outcome } = yield* outcomeOf(id)
            if (outcome === "not made") return context.skip(how)
            expect(["held", "soft"], `${outcome}: ${how}`).toContain(outcome)
          }), 60_000)
      }
    })
  }

  it("holds all guarantees of the doctor", async () => {
    expect((await making)?.guarantees.filter(({ holds }) => !holds)).toEqual([])
  })
})
