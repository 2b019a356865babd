/**
 * What every sandbox has in its environment; the host's is never passed on.
 */
import * as Path from "node:path"
import { WORKSPACE } from "../internal/paths.js"

export { WORKSPACE }

const systemPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

/**
 * The environment, with the folder of this Node first on the search path, unless it is found there anyway. Programs that
 * the user has installed (`pip install --user`) come before all others.
 */
export const environmentWith = (node: string | undefined): Readonly<Record<string, string>> => {
  const folder = node === undefined ? undefined : Path.posix.dirname(node)
  const found = folder === undefined || systemPath.split(":").includes(folder) ? [] : [folder]
  return {
    PATH: [`${WORKSPACE}/.local/bin`, ...found, systemPath].join(":"),
    HOME: WORKSPACE,
    USER: "user",
    LOGNAME: "user",
    SHELL: "/bin/bash",
    LANG: "C.UTF-8",
    TERM: "dumb"
  }
}
