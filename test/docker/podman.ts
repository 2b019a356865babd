/** The environment variable that tells the tests where Podman answers. */
export const PODMAN = "SANDBOX_TEST_PODMAN"

/** Where it answers; nothing where it is not there. */
export const podmanAddress = process.env[PODMAN]
