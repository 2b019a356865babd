/**
 * What the system's package managers call what isolation needs, and how they are told to install it.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Host from "./Host.js"

interface Manager {
  readonly program: string
  readonly install: string
}

const MANAGERS: ReadonlyArray<Manager> = [
  { program: "apt-get", install: "apt-get install -y" },
  { program: "dnf", install: "dnf install -y" },
  { program: "apk", install: "apk add" },
  { program: "pacman", install: "pacman -S --noconfirm" },
  { program: "zypper", install: "zypper install -y" }
]

/** Names that differ from Debian's. */
const NAMES: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  pacman: { python3: "python" }
}

/**
 * The command that installs packages, given by their Debian names, on this host.
 */
export const installCommand = (packages: ReadonlyArray<string>): Effect.Effect<string> =>
  Effect.gen(function*() {
    const found = yield* Effect.findFirst(MANAGERS, ({ program }) => Host.exists(`/usr/bin/${program}`))
    // Alpine keeps its own in /sbin.
    const alpine = Option.orElse(found, () => Option.fromNullable(MANAGERS.find(({ program }) => program === "apk")))
    const manager = Option.isSome(found) ? found : (yield* Host.exists("/sbin/apk")) ? alpine : Option.none()
    if (Option.isNone(manager)) return `install ${packages.join(" and ")} with the package manager of this system`
    const { install, program } = manager.value
    const names = packages.map((name) => NAMES[program]?.[name] ?? name)
    return `${Host.userId() === 0 ? "" : "sudo "}${install} ${names.join(" ")}`
  })
