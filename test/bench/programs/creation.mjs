// For each line that it is given: a sandbox from nothing to its first result, by Node alone, and how many milliseconds that
// took. A disk that is there is mounted, groups are made and limited, bubblewrap waits in them for its arguments, and a
// Python without modules forks and evaluates. As root, with control groups.
import { execFileSync, spawn } from "node:child_process"
import { mkdirSync, mkdtempSync, readFileSync, rmdirSync, rmSync, writeFileSync } from "node:fs"
import { writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { createInterface } from "node:readline"
import { setTimeout as sleep } from "node:timers/promises"

const forker = new URL("forker.py", import.meta.url).pathname
const folder = mkdtempSync(join(tmpdir(), "sandbox-bench-floor-"))
const image = join(folder, "image")
const workspace = join(folder, "workspace")
mkdirSync(workspace)
execFileSync("truncate", ["-s", "4096M", image])
execFileSync("mkfs.ext4", ["-q", "-F", "-O", "^has_journal,^resize_inode", image])

const mounts = readFileSync("/proc/self/mountinfo", "utf8").split("\n").map((line) => line.split(" "))
const limits = {
  cpu: ["cpu.cfs_quota_us", "100000"],
  memory: ["memory.limit_in_bytes", "1073741824"],
  pids: ["pids.max", "259"]
}
/** The groups of this process: those of version 1 that limit, and that of version 2. */
const trees = readFileSync("/proc/self/cgroup", "utf8").trim().split("\n").flatMap((line) => {
  const [, controller = "", group = "/"] = line.split(":")
  const mount = mounts.find((fields) => {
    const [type, , options = ""] = fields.slice(fields.indexOf("-") + 1)
    return controller === "" ? type === "cgroup2" : type === "cgroup" && options.split(",").includes(controller)
  })
  return mount === undefined || (controller !== "" && limits[controller] === undefined)
    ? []
    : [{ path: join(mount[4], group), limit: limits[controller] }]
})

const ended = (child) => new Promise((resolve) => child.once("close", resolve))
let number = 0

const create = async () => {
  const start = performance.now()
  const groups = trees.map(({ path, limit }) => ({ path: join(path, `sandbox-bench-${process.pid}-${number}`), limit }))
  number += 1
  const options = "loop,nosuid,nodev,noatime,noinit_itable,nobarrier"
  const mounted = ended(spawn("mount", ["-t", "ext4", "-o", options, image, workspace], { stdio: "ignore" }))
  for (const { limit, path } of groups) {
    mkdirSync(path)
    if (limit !== undefined) writeFileSync(join(path, limit[0]), limit[1])
  }
  const child = spawn("/usr/bin/bwrap", ["--args", "3", "/usr/bin/python3", "-I", "-S", "/tmp/forker.py"], {
    stdio: ["pipe", "pipe", "inherit", "pipe"]
  })
  for (const { path } of groups) await writeFile(join(path, "cgroup.procs"), String(child.pid))
  await mounted
  const lines = createInterface(child.stdout)[Symbol.asyncIterator]()
  child.stdio[3].end(
    [
      ...["--unshare-all", "--die-with-parent", "--new-session", "--clearenv"],
      ...["--ro-bind", "/usr", "/usr", "--symlink", "usr/bin", "/bin", "--symlink", "usr/lib", "/lib"],
      ...["--symlink", "usr/lib64", "/lib64", "--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp"],
      ...["--bind", workspace, "/workspace", "--ro-bind", forker, "/tmp/forker.py"]
    ].map((arg) => `${arg}\0`).join("")
  )
  await lines.next()
  child.stdin.write("{\"op\":\"run\",\"code\":\"1+1\"}\n")
  const { value } = await lines.next()
  const took = performance.now() - start
  if (JSON.parse(value).text !== "2") throw new Error(`It answered ${value}`)
  child.kill("SIGKILL")
  await ended(child)
  execFileSync("umount", [workspace])
  for (const { path } of groups) {
    for (let left = 100;; left--) {
      try {
        rmdirSync(path)
        break
      } catch (error) {
        // It is busy for a moment after its last process.
        if (left === 0) throw error
        await sleep(5)
      }
    }
  }
  return took
}

// Between two of them, when nothing is mounted.
process.once("SIGTERM", () => {
  rmSync(folder, { recursive: true })
  process.exit()
})

console.log("ready")
for await (const _ of createInterface(process.stdin)) console.log(await create())
