/**
 * Files on their way in and out.
 */
import { NodeContext } from "@effect/platform-node"
import { Effect, Stream } from "effect"
import { createReadStream, createWriteStream } from "node:fs"
import { copyFile, mkdir, rm, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { pipeline } from "node:stream/promises"
import { downloadFile, Sandbox, SandboxSDK, uploadFile } from "sandbox-sdk"
import { server } from "../References.js"
import { Failed, inTurns, rates, rounds, type Row, timed, times } from "../Row.js"
import { folder, local, sandboxOf, served } from "../Subjects.js"

const MB = 1024 * 1024
const SIZE = 256

const failed = (cause: unknown) => new Failed({ message: String(cause), cause })

const promised = (work: () => Promise<unknown>) => Effect.tryPromise({ try: work, catch: failed })

/** The copying of a file of this machine, by its path. */
const copies = (sdk: typeof SandboxSDK.Service, id: string, source: string, target: string) =>
  Effect.map(Effect.provideService(Sandbox.attach(id), SandboxSDK, sdk), (sandbox) => ({
    up: timed(Effect.provide(uploadFile(sandbox, source, "large"), NodeContext.layer)),
    down: timed(Effect.provide(downloadFile(sandbox, "large", target), NodeContext.layer))
  }))

/**
 * The kernel takes all of a disk in turn before it takes room that was given back. After so many files every piece of it has
 * been written once, and has memory of the host, as has the file that the reference writes to.
 */
const DISK_MB = 1024
const TIMES_WRITTEN = DISK_MB / SIZE + 1

/** A stream of the bytes of a file of this machine; each time that it is run, it reads the file anew. */
const bytesOf = (path: string) =>
  Stream.suspend(() => {
    const pieces: AsyncIterable<Uint8Array> = createReadStream(path, { highWaterMark: 256 * 1024 })
    return Stream.fromAsyncIterable(pieces, failed)
  })

const down = (sdk: typeof SandboxSDK.Service, id: string, to: string) =>
  Effect.scoped(Effect.gen(function*() {
    const file = createWriteStream(to)
    yield* Stream.runForEach(sdk.readFileStream(id, "large"), (piece) =>
      file.write(piece)
        ? Effect.void
        : Effect.async<void>((resume) => void file.once("drain", () => resume(Effect.void))))
    yield* promised(() => new Promise<void>((resolve) => file.end(resolve)))
    if (file.bytesWritten !== SIZE * MB) {
      return yield* new Failed({ message: `${file.bytesWritten} bytes arrived of ${SIZE * MB}` })
    }
  }))

const up = (sdk: typeof SandboxSDK.Service, id: string, from: string) => sdk.writeFileStream(id, "large", bytesOf(from))

const COUNT = 10_000
const CONTENT = "x".repeat(1_000)

/**
 * The rows.
 */
export const rows: ReadonlyArray<Row> = [
  {
    id: "large-file",
    title: `a file of ${SIZE} MB, down and up`,
    reference: "in this process: node:fs copyFile; over HTTP: the same by a bare node:http server",
    measure: (effort) =>
      Effect.scoped(Effect.gen(function*() {
        const own = yield* folder
        const source = join(own, "source")
        const target = join(own, "target")
        yield* promised(() => writeFile(source, Buffer.alloc(SIZE * MB, "0123456789abcdef")))
        const here = yield* local()
        const { sdk: there } = yield* served()
        const { url } = yield* server("bareHttp.mjs")
        const hereId = yield* sandboxOf(here, { templateId: "python", resources: { diskMb: DISK_MB } })
        const newId = yield* sandboxOf(here, { templateId: "python" })
        const thereId = yield* sandboxOf(there, { templateId: "python" })
        const count = rounds(effort, 7)
        const copy = timed(promised(() => copyFile(source, target)))
        const { request } = yield* Effect.promise(() => import("undici"))
        const remote = join(own, "remote")
        const bareUp = timed(promised(async () => {
          const { body } = await request(`${url}/file?path=${remote}`, {
            method: "PUT",
            body: createReadStream(source)
          })
          await body.dump()
        }))
        const bareDown = timed(promised(async () => {
          const { body } = await request(`${url}/file?path=${remote}`)
          await pipeline(body, createWriteStream(target))
        }))
        const downPath = join(own, "down")
        const byPath = yield* copies(here, hereId, source, downPath)
        const hereUp = yield* inTurns(count, byPath.up, copy, TIMES_WRITTEN)
        // Over a file that is there, and where none is: it is removed again outside of what is measured.
        const overDown = yield* inTurns(count, byPath.down, copy)
        const remove = (path: string) => promised(() => rm(path))
        const hereDown = yield* inTurns(
          count,
          Effect.zipLeft(byPath.down, remove(downPath)),
          Effect.zipLeft(copy, remove(target))
        )
        // To room that nobody has used before: for the reference, files that all stay there.
        let copied = 0
        const toNew = yield* copies(here, newId, source, downPath)
        const copyMore = timed(Effect.suspend(() => promised(() => copyFile(source, join(own, `copy-${copied++}`)))))
        const newUp = yield* inTurns(count, toNew.up, copyMore, 1)
        const streamUp = yield* inTurns(count, timed(up(here, hereId, source)), copy, 1)
        const streamDown = yield* inTurns(count, timed(down(here, hereId, target)), copy, 1)
        const thereUp = yield* inTurns(count, timed(up(there, thereId, source)), bareUp, 1)
        const thereDown = yield* inTurns(count, timed(down(there, thereId, target)), bareDown, 1)
        return [
          rates(hereDown, SIZE, 0.6, "down, in this process, to a new file", "MiB/s"),
          rates(overDown, SIZE, 0.6, "down, in this process, over a file", "MiB/s"),
          rates(hereUp, SIZE, 0.6, "up, in this process, over a file", "MiB/s"),
          rates(newUp, SIZE, 0.6, "up, in this process, to room never used", "MiB/s"),
          rates(streamDown, SIZE, 0.6, "down, in this process, as a stream", "MiB/s"),
          rates(streamUp, SIZE, 0.6, "up, in this process, as a stream", "MiB/s"),
          rates(thereDown, SIZE, 0.5, "down, over HTTP", "MiB/s"),
          rates(thereUp, SIZE, 0.5, "up, over HTTP", "MiB/s")
        ]
      })).pipe(Effect.mapError(failed))
  },
  {
    id: "many-files",
    title: `${COUNT.toLocaleString("en")} files of 1 kB by writeFiles, engine in this process`,
    reference: "a loop of fs.writeFile",
    measure: (effort) =>
      Effect.scoped(Effect.gen(function*() {
        const own = yield* folder
        const sdk = yield* local()
        const id = yield* sandboxOf(sdk, { templateId: "python" })
        const files = Array.from({ length: COUNT }, (_, index) => ({
          path: `many/${index % 100}/${index}`,
          content: CONTENT
        }))
        // Both make new files in new folders, and remove them again outside of what is measured.
        const ours = Effect.zipLeft(timed(sdk.writeFiles(id, files)), sdk.deleteFile(id, "many"))
        const theirs = promised(async () => {
          for (let index = 0; index < 100; index++) {
            await mkdir(join(own, "many", String(index)), { recursive: true })
          }
          for (const { content, path } of files) {
            await writeFile(join(own, path), content)
          }
        })
        const reference = Effect.zipLeft(timed(theirs), promised(() => rm(join(own, "many"), { recursive: true })))
        return [times(yield* inTurns(rounds(effort, 10), ours, reference, 1), 2)]
      })).pipe(Effect.mapError(failed))
  }
]
