import { layerLocal } from "../../src/local.js"
import { conformance } from "../conformance/suite.js"
import { IMAGES } from "./images.js"

conformance(
  "the embedded engine over containers",
  layerLocal({ isolation: "docker", docker: { image: IMAGES.full }, network: "any" })
)
