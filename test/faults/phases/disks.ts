/**
 * Disks that are full: that of a sandbox, and that of the data folder of a server.
 */
import { Effect } from "effect"
import * as Fs from "node:fs"
import * as Path from "node:path"
import type { AnySandboxSDKError } from "../../../src/Errors.js"
import { count, isRoot, makePlace, type Phase, randomOf, trials, withServer } from "../Setting.js"
import { attempt } from "../Trial.js"
import { all } from "../workloads/index.js"
import type { Place } from "../workloads/Workload.js"

/** Where runs leave their marks when the disk is full: in memory. */
const COUNTER = "/tmp/.runs"

const without = () => isRoot ? undefined : "disks of a sandbox, and of a test, need root"

const isFull = (error: AnySandboxSDKError): boolean =>
  error._tag === "SandboxError" && (error.code === "disk_full" || error.code === "quota_exceeded")

/** What writes a file in the sandbox may find no room for it; to run something takes none. */
const writes = ["upload", "upload of a stream", "download", "download as a stream", "move"]

const free = ({ direct, sandboxId }: Place) => Effect.ignore(direct.runTerminal(sandboxId, "rm -rf fill up down move"))

const sandboxDisk: Phase = {
  id: "sandbox-disk",
  title: "the disk of a sandbox is full",
  share: 0.02,
  without,
  run: (setting) =>
    withServer(setting, "sandbox-disk", (sdk) =>
      Effect.gen(function*() {
        const { seed, tally } = setting
        const phase = "sandbox-disk"
        const place = yield* makePlace(sdk, sdk, { resources: { diskMb: 8 } }, COUNTER)
        const fill = sdk.runTerminal(place.sandboxId, "head -c 100M /dev/zero > fill; head -c 1M /dev/zero >> fill")
        for (const index of trials(setting)) {
          const random = randomOf(seed, phase, index)
          const workload = random.pick(all)
          const filling = yield* Effect.fork(Effect.delay(Effect.ignore(fill), random.below(250)))
          const excuses = (error: AnySandboxSDKError) => writes.includes(workload.name) && isFull(error)
          yield* attempt(tally, { phase, index, workload, place, excuses })
          yield* filling
          yield* free(place)
          tally.inject(phase, "full disk of a sandbox")
        }
        yield* count(tally, phase, [place])
      }))
}

/** Takes all the room that there is. */
const takeAll = (folder: string) =>
  Effect.sync(() => {
    const file = Fs.openSync(Path.join(folder, "ballast"), "a")
    try {
      for (let size = 1 << 20; size >= 512; size >>= 1) {
        const bytes = Buffer.alloc(size, 1)
        for (;;) {
          try {
            if (Fs.writeSync(file, bytes) < size) break
          } catch {
            break
          }
        }
      }
    } finally {
      Fs.closeSync(file)
    }
  })

const giveBack = (folder: string) => Effect.sync(() => Fs.rmSync(Path.join(folder, "ballast"), { force: true }))

const dataDisk: Phase = {
  id: "data-disk",
  title: "the disk of the server's data is full",
  share: 0.02,
  without,
  run: (setting) =>
    withServer(setting, "data-disk", (sdk, server) =>
      Effect.gen(function*() {
        const { seed, tally } = setting
        const phase = "data-disk"
        const place = yield* makePlace(sdk, sdk, { resources: { diskMb: 32 } }, COUNTER)
        for (const index of trials(setting)) {
          const random = randomOf(seed, phase, index)
          const workload = random.pick(all)
          const taking = yield* Effect.fork(Effect.delay(takeAll(server.data), random.below(250)))
          yield* attempt(tally, { phase, index, workload, place, excuses: isFull })
          yield* taking
          yield* giveBack(server.data)
          // With room again, all is as before.
          yield* attempt(tally, { phase, index, workload, place, excuses: () => false }, 1)
          yield* free(place)
          tally.inject(phase, "full disk of the server")
        }
        yield* count(tally, phase, [place])
      }), { sizeMb: 96 })
}

export const disks: ReadonlyArray<Phase> = [sandboxDisk, dataDisk]
