/**
 * The same attempts out of an engine that an ordinary user runs; and, as a program of its own, with a secret in its
 * environment and with open files that are inherited.
 */
import { afterAll, beforeAll, describe, expect, it } from "@effect/vitest"
import { families } from "./attempts/index.js"
import { type Bundles, makeBundles, NOBODY, type Run, run } from "./runs.js"

const isRoot = process.geteuid?.() === 0

describe(`out of the embedded engine of ${isRoot ? "an ordinary user" : "a program of its own"}`, () => {
  let bundles: Bundles | undefined
  let made: Run | undefined
  beforeAll(async () => {
    bundles = await makeBundles()
    made = await run(bundles, isRoot ? NOBODY : undefined)
  }, 300_000)
  afterAll(() => bundles?.remove())

  for (const family of families) {
    describe(family.title, () => {
      for (const { id, title } of family.attempts) {
        it(`${id}: ${title}`, (context) => {
          const outcome = made?.outcomes.find((one) => one.id === id)
          if (outcome?.outcome === "not made") return context.skip(outcome.how)
          expect(["held", "soft"], `${outcome?.outcome}: ${outcome?.how}`).toContain(outcome?.outcome)
        })
      }
    })
  }

  it("holds all guarantees of the doctor", () => {
    expect(made?.guarantees.filter(({ holds }) => !holds)).toEqual([])
  })
})
