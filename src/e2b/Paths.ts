/**
 * Paths: what is `/workspace` for a caller is the home folder there.
 */
import { WORKSPACE } from "../internal/paths.js"

const moved = (path: string, from: string, to: string): string =>
  path === from ? to : path.startsWith(`${from}/`) ? `${to}${path.slice(from.length)}` : path

/**
 * An absolute path as it is called there.
 */
export const toServer = (home: string, path: string): string => moved(path, WORKSPACE, home)

/**
 * An absolute path as a caller knows it.
 */
export const toCaller = (home: string, path: string): string => moved(path, home, WORKSPACE)

/**
 * The folder that an absolute path lies in.
 */
export const parentOf = (path: string): string => path.slice(0, Math.max(1, path.lastIndexOf("/")))
