// The value of the last expression, decoded through a Schema: what does not fit is a typed error that names the part.
import { Console, Effect, Schema } from "effect"
import { Sandbox } from "sandbox-sdk"
import { layerLocal } from "sandbox-sdk/local"

const Summary = Schema.Struct({
  words: Schema.Array(Schema.Struct({ word: Schema.String, count: Schema.Int })),
  longest: Schema.String
})

const summarize = `
import collections
words = "the cat and the dog and the bird".split()
{
    "words": [{"word": word, "count": count} for word, count in collections.Counter(words).most_common(2)],
    "longest": max(words, key=len),
}
`

const program = Effect.gen(function*() {
  const sandbox = yield* Sandbox.make({ templateId: "python" })

  const summary = yield* sandbox.runCodeAs(summarize, Summary)
  for (const { count, word } of summary.words) {
    yield* Console.log(`${word}: ${count}`)
  }
  yield* Console.log(`longest: ${summary.longest}`)

  yield* sandbox.runCodeAs(`{"words": [{"word": "the", "count": "three"}], "longest": "bird"}`, Summary).pipe(
    Effect.catchTag("SandboxSDKError", (error) => Console.log(`does not fit: ${error.field}`))
  )
})

await Effect.runPromise(program.pipe(Effect.scoped, Effect.provide(layerLocal())))
