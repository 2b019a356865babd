/**
 * What the control group of a container counts of its memory, where it is on this machine and these files can be read: how
 * much there is, and how often the kernel has killed something for want of it. The engine tells of that too late, or not at
 * all.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Ref from "effect/Ref"
import * as Path from "node:path"
import type { GroupFolder } from "../Consumption.js"
import * as Host from "../Host.js"
import * as Mounts from "../Mounts.js"

interface Member {
  readonly version: 1 | 2
  readonly path: string
}

/** The group of a process that counts its memory, by `/proc/<pid>/cgroup` (cgroups(7)). */
export const memberOf = (text: string): Option.Option<Member> => {
  const lines = text.split("\n").map((line) => /^(\d+):([^:]*):(.*)$/.exec(line))
  const memory = lines.find((line) => line?.[2]?.split(",").includes("memory") === true)
  const unified = lines.find((line) => line?.[1] === "0")
  const path = memory?.[3] ?? unified?.[3]
  return path === undefined ? Option.none() : Option.some({ version: memory === undefined ? 2 : 1, path })
}

/** Where that group is in the files of this machine. */
const folderOf = Effect.fnUntraced(function*({ path, version }: Member) {
  const mounts = Mounts.parse(Option.getOrElse(yield* Host.readText("/proc/self/mountinfo"), () => ""))
  const mount = mounts.find(({ options, type }) =>
    version === 2 ? type === "cgroup2" : type === "cgroup" && options.includes("memory")
  )
  return mount === undefined
    ? Option.none()
    : Option.some(Path.join(mount.path, mount.root === "/" ? path : path.replace(mount.root, "")))
})

/**
 * The group of a container by the number of its first process on this machine; none where it is not to be seen.
 */
export const groupOf = Effect.fnUntraced(function*(pid: number) {
  const member = memberOf(Option.getOrElse(yield* Host.readText(`/proc/${pid}/cgroup`), () => ""))
  if (Option.isNone(member)) return Option.none<GroupFolder>()
  const { version } = member.value
  return Option.map(yield* folderOf(member.value), (path): GroupFolder => ({ version, path }))
})

/**
 * Finds the count of kills in a group. Gives 0 where there is none.
 */
export const kills = Effect.fnUntraced(function*(group: Option.Option<GroupFolder>) {
  if (Option.isNone(group)) return Effect.succeed(0)
  const file = Path.join(group.value.path, group.value.version === 1 ? "memory.oom_control" : "memory.events")
  const last = yield* Ref.make(0)
  return Effect.flatMap(Host.readText(file), (text) => {
    const count = Option.flatMap(text, (found) => Option.fromNullable(/^oom_kill (\d+)$/m.exec(found)?.[1]))
    // The last count is still the answer when the group is gone.
    return Ref.updateAndGet(last, (before) => Option.match(count, { onNone: () => before, onSome: Number }))
  })
})
