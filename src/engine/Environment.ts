/**
 * What every sandbox has in its environment; the host's is never passed on.
 */
export { WORKSPACE } from "../internal/paths.js"

import { WORKSPACE } from "../internal/paths.js"

/**
 * Programs that are installed for the user (`pip install --user`) are found first.
 */
export const baseEnvironment: Readonly<Record<string, string>> = {
  PATH: `${WORKSPACE}/.local/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin`,
  HOME: WORKSPACE,
  USER: "user",
  LOGNAME: "user",
  SHELL: "/bin/bash",
  LANG: "C.UTF-8",
  TERM: "dumb"
}
