import { layerLocal } from "../../src/local.js"
import { kills } from "../faults/kills.js"
import { IMAGES } from "./images.js"

kills("the embedded engine over containers", layerLocal({ isolation: "docker", docker: { image: IMAGES.full } }))
