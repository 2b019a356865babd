/**
 * Files that go into a sandbox and come out of it.
 */
import { Effect, Stream } from "effect"
import type { AnySandboxSDKError } from "../../../src/Errors.js"
import type { Witness } from "../Witness.js"
import { lines } from "./text.js"
import type { Place, Workload } from "./Workload.js"

const pieces = (content: Buffer, size: number): ReadonlyArray<Uint8Array> =>
  Array.from(
    { length: Math.ceil(content.length / size) },
    (_, index) => content.subarray(index * size, (index + 1) * size)
  )

const contentOf = (count: number) => Buffer.from(lines(count))

/** Looks at what is there when an upload is over, one way or the other: all of it, or nothing. */
const uploaded =
  (place: Place, path: string, witness: Witness, size: number) =>
  (upload: Effect.Effect<unknown, AnySandboxSDKError>): Effect.Effect<void, AnySandboxSDKError> => {
    const look = place.direct.readFileBytes(place.sandboxId, path)
    return Effect.matchEffect(upload, {
      onSuccess: () => Effect.map(look, (bytes) => witness.see("file", bytes)),
      onFailure: (error) =>
        Effect.zipRight(
          Effect.matchEffect(look, {
            onSuccess: (bytes) =>
              Effect.sync(() => {
                if (bytes.length !== size) witness.complaints.push(`${bytes.length} bytes of ${size} were left`)
                witness.see("file", bytes)
              }),
            onFailure: () => Effect.void
          }),
          Effect.fail(error)
        )
    })
  }

/** A file whose bytes can be sent again. */
export const upload = (name: string, count: number): Workload => ({
  name,
  isCounted: false,
  said: () => ({ file: contentOf(count) }),
  run: (place, mark, witness) => {
    const content = contentOf(count)
    return place.sdk.writeFile(place.sandboxId, `up/${mark}`, content).pipe(
      uploaded(place, `up/${mark}`, witness, content.length)
    )
  }
})

/** A file whose bytes come from a stream, and can be sent once. */
export const uploadStream = (name: string, count: number): Workload => ({
  name,
  isCounted: false,
  isUnrepeatable: true,
  said: () => ({ file: contentOf(count) }),
  run: (place, mark, witness) => {
    const content = contentOf(count)
    return place.sdk.writeFileStream(
      place.sandboxId,
      `up/${mark}`,
      // Not where characters end.
      Stream.fromIterable(pieces(content, 7_001))
    ).pipe(uploaded(place, `up/${mark}`, witness, content.length))
  }
})

/** A file as a whole. */
export const download = (name: string, count: number): Workload => ({
  name,
  isCounted: false,
  said: () => ({ file: contentOf(count) }),
  run: ({ direct, sandboxId, sdk }, mark, witness) =>
    Effect.gen(function*() {
      yield* direct.writeFile(sandboxId, `down/${mark}`, contentOf(count))
      witness.see("file", yield* sdk.readFileBytes(sandboxId, `down/${mark}`))
    })
})

/** A file piece by piece. */
export const downloadStream = (name: string, count: number): Workload => ({
  name,
  isCounted: false,
  isUnrepeatable: true,
  said: () => ({ file: contentOf(count) }),
  run: ({ direct, sandboxId, sdk }, mark, witness) =>
    Effect.gen(function*() {
      yield* direct.writeFile(sandboxId, `down/${mark}`, contentOf(count))
      yield* Stream.runForEach(
        sdk.readFileStream(sandboxId, `down/${mark}`),
        (bytes) => Effect.sync(() => witness.see("file", bytes))
      )
    })
})

/** A move, which cannot be made twice. */
export const move = (name: string): Workload => ({
  name,
  isCounted: false,
  said: () => ({ file: contentOf(3) }),
  run: ({ direct, sandboxId, sdk }, mark, witness) =>
    Effect.gen(function*() {
      yield* direct.writeFile(sandboxId, `move/${mark}`, contentOf(3))
      yield* sdk.moveFile(sandboxId, `move/${mark}`, `move/${mark}.moved`)
      witness.see("file", yield* direct.readFileBytes(sandboxId, `move/${mark}.moved`))
    })
})
