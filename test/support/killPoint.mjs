// Loaded before a program (`node --import`): kills it at the N-th change that it makes to the file system, before the call,
// after it, or in the middle. KILL_POINT is `N:when`. It counts from SIGUSR2 on, or from the start with `N:when:now`.
import Fs from "node:fs/promises"
import { syncBuiltinESMExports } from "node:module"

const [at = "0", when = "0", from] = (process.env.KILL_POINT ?? "").split(":")
let left = from === "now" ? Number(at) : Infinity

const die = () => process.kill(process.pid, "SIGKILL")

const afterTicks = (ticks) => setImmediate(() => ticks > 0 ? afterTicks(ticks - 1) : die())

for (
  const name of ["chmod", "chown", "link", "mkdir", "mkdtemp", "open", "rename", "rm", "rmdir", "truncate", "writeFile"]
) {
  const call = Fs[name]
  Fs[name] = (...args) => {
    left -= 1
    if (left !== 0) {
      return call(...args)
    }
    if (when === "0") {
      die()
    }
    if (when !== "1") {
      afterTicks(Number(when) - 2)
      return call(...args)
    }
    return call(...args).finally(die)
  }
}
syncBuiltinESMExports()

if (from !== "now") {
  process.on("SIGUSR2", () => {
    left = Number(at)
  })
}
