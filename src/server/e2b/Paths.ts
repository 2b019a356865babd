/**
 * Paths as programs for E2B write them: their home is `/home/user`, which is where the workspace of a sandbox is found
 * as well.
 */
import { posix } from "node:path"
import { WORKSPACE } from "../../internal/paths.js"

/**
 * The home of E2B's sandboxes.
 */
export const HOME = "/home/user"

const below = (path: string, folder: string): string | undefined =>
  path === folder || path.startsWith(`${folder}/`) ? path.slice(folder.length) : undefined

/**
 * The path for the service. A relative one starts at home, `~` is home, and so is an empty one.
 */
export const toService = (path: string): string => {
  const absolute = posix.resolve(HOME, path.replace(/^~(?=\/|$)/, HOME))
  const rest = below(absolute, HOME)
  return rest === undefined ? absolute : `${WORKSPACE}${rest}`
}

/**
 * The path for the caller, who asked by `asked`: as it is called there, unless the caller itself spoke of `/workspace`.
 */
export const toCaller = (path: string, asked: string): string => {
  const rest = below(path, WORKSPACE)
  return rest === undefined || below(asked, WORKSPACE) !== undefined ? path : `${HOME}${rest}`
}
