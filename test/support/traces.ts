/**
 * What engines leave on a host, looked for from outside.
 */
import * as Fs from "node:fs/promises"
import * as Path from "node:path"

const read = (path: string): Promise<string> => Fs.readFile(path, "utf8").catch(() => "")

const readFolder = (path: string): Promise<ReadonlyArray<string>> => Fs.readdir(path).catch(() => [])

/** The processes that run in a sandbox whose files are below a folder: the folder is mounted in a root of their own. */
export const processesIn = async (folder: string): Promise<ReadonlyArray<string>> => {
  const name = Path.basename(folder)
  const here = await Fs.readlink("/proc/self/ns/mnt")
  const found: Array<string> = []
  for (const pid of (await readFolder("/proc")).filter((name) => /^\d+$/.test(name))) {
    const namespace = await Fs.readlink(`/proc/${pid}/ns/mnt`).catch(() => here)
    if (namespace !== here && (await read(`/proc/${pid}/mountinfo`)).includes(name)) {
      found.push(`${pid} ${(await read(`/proc/${pid}/cmdline`)).replaceAll("\0", " ")}`)
    }
  }
  return found
}

/** The mounts of this host, and its loop devices, that show something below a folder. */
export const mountsOf = async (folder: string): Promise<ReadonlyArray<string>> => {
  const name = Path.basename(folder)
  const mounts = (await read("/proc/self/mountinfo")).split("\n")
  const loops = await Promise.all(
    (await readFolder("/sys/block")).map((device) => read(`/sys/block/${device}/loop/backing_file`))
  )
  return [...mounts, ...loops].filter((line) => line.includes(name))
}

/** The control groups of engines that had these numbers. */
export const groupsOf = async (pids: ReadonlyArray<number>): Promise<ReadonlyArray<string>> => {
  const folders = await Fs.readdir("/sys/fs/cgroup", { recursive: true }).catch(() => [])
  return folders.filter((path) => pids.some((pid) => path.includes(`/sandbox-sdk-${pid}-`)))
}
