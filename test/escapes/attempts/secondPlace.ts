/**
 * The other name of the workspace, `/home/user`: one folder at two places is one more way to lead astray.
 */
import { type Family, python } from "../Attempt.js"
import { allRefused } from "./fileApi.js"

const { raw } = String

const CONFINED = "the agent opens by folders that it has checked"

export const secondPlace: Family = {
  name: "second place",
  title: "The workspace by its other name",
  attempts: [
    python(
      "files-second-place",
      "Get out by the other name of the workspace, /home/user",
      "the same folder, mounted with the same walls",
      raw`
os.chdir("/home/user")
for path in ("..", "../..", "../../home", "/home/user/../../workspace/..", "/proc/self/cwd/.."):
    names = set(os.listdir(path)) if os.access(path, os.R_OK) else set()
    if names & {"sandbox.json", "workspace.img", "sandboxes", H["neighbour"]["sandboxId"]} or any(each.startswith("run-") for each in names):
        escaped("%s is a folder of the engine: %r" % (path, names))
held("no folder of the engine above it")
for flag in (os.ST_NOSUID, os.ST_NODEV):
    if os.statvfs("/workspace").f_flag & flag != os.statvfs("/home/user").f_flag & flag:
        escaped("flag %d is not the same at both" % flag)
refused("device", lambda: os.mknod("/home/user/device", 0o600 | stat.S_IFBLK, os.makedev(*H["devices"][0])))
for action in (
    lambda: os.rename("/home/user", "/home/other"), lambda: os.rmdir("/home/user"), lambda: os.mkdir("/home/other"),
    lambda: os.symlink("/", "/home/link"), lambda: os.rename("/workspace", "/home/user/workspace"), lambda: os.chmod("/home", 0o777)
):
    refused("change what is above", action)
# Both are one file system, but two mounts: no name goes from one to the other.
with open("/workspace/linked", "w") as file:
    file.write("x")
refused("link across", lambda: os.link("/workspace/linked", "/home/user/linked2"))
root = os.open("/home/user", os.O_RDONLY)
for path in ("../../" * depth + "etc/shadow" for depth in range(1, 9)):
    refused("open " + path, lambda: os.read(os.open(path, os.O_RDONLY, dir_fd=root), 10))
`
    ),
    allRefused(
      "api-second-place",
      "Read and write outside by the other name of the workspace, /home/user",
      CONFINED,
      () =>
        `mkdir -p /tmp/outside; echo outside > /tmp/outside/kept; cd /workspace; ln -sfn /home/user home;
         ln -sfn /home/user/../../tmp/outside/kept second; ln -sfn /home/user/home/../../tmp/outside away; ln -sfn home/../../tmp/outside/kept third`,
      ({ sandboxId, sdk }) =>
        ["second", "away/kept", "third", "home/second", "home/../../tmp/outside/kept"]
          .flatMap((path) => [
            [`read ${path}`, sdk.readFile(sandboxId, path)] as const,
            [`write ${path}`, sdk.writeFile(sandboxId, path, "changed")] as const,
            [`delete ${path}`, sdk.deleteFile(sandboxId, path)] as const
          ]).filter(([what]) => what !== "delete second" && what !== "delete third" && what !== "delete home/second")
    )
  ]
}
