/**
 * The suite over the embedded engine as a program of its own, so that any user can run it: each outcome is a line of JSON.
 */
import { Console, Effect, Layer } from "effect"
import { layerLocal } from "../../src/local.js"
import { Arenas } from "./Arena.js"
import { attempts, families } from "./attempts/index.js"
import { guarantees, softHere } from "./soft.js"

const [cli = "", ...ids] = process.argv.slice(2)

const program = Effect.gen(function*() {
  const found = yield* guarantees
  const described = families.map(({ attempts, title }) => ({
    title,
    attempts: attempts.map(({ id, title, wall }) => ({ id, title, wall }))
  }))
  yield* Console.log(JSON.stringify({ guarantees: found, families: described }))
  const layer = Arenas.layer({ cli: Effect.succeed(cli), soft: softHere(found) }).pipe(
    Layer.provide(layerLocal())
  )
  yield* Effect.gen(function*() {
    const { make } = yield* Arenas
    for (const attempt of attempts) {
      if (ids.length > 0 && !ids.some((id) => attempt.id.startsWith(id))) continue
      yield* Effect.flatMap(make(attempt), (outcome) => Console.log(JSON.stringify({ outcome })))
    }
  }).pipe(Effect.provide(layer))
  yield* Console.log(JSON.stringify({ end: true }))
})

const unknown = ids.filter((id) => !attempts.some((attempt) => attempt.id.startsWith(id)))
if (unknown.length > 0) {
  console.error(`There is no attempt ${unknown.join(", ")}. There are: ${attempts.map(({ id }) => id).join(", ")}`)
  process.exit(64)
}

Effect.runPromise(program).then(
  () => process.exit(0),
  (error: unknown) => {
    console.error(error)
    process.exit(1)
  }
)
