/** `/docs`: Swagger UI, vendored, shows the OpenAPI document of this server. Nothing is asked of another host. */

import { choose, language } from "./language.js";

const asked = new URLSearchParams(location.search).get("lang");
if (asked === language()) choose(asked); // also for the page at /
document.documentElement.lang = language();
for (const link of document.querySelectorAll("[data-language]")) {
  if (link.dataset.language === language()) link.setAttribute("aria-current", "true");
}

const dark = matchMedia("(prefers-color-scheme: dark)");
const follow = () => document.documentElement.classList.toggle("dark-mode", dark.matches);
dark.addEventListener("change", follow);
follow();

const url = new URL(`openapi.json?lang=${language()}`, document.baseURI).href;
document.getElementById("document").href = url;
globalThis.SwaggerUIBundle({
  url,
  domNode: document.getElementById("reader"),
  deepLinking: true,
  defaultModelsExpandDepth: 0,
  docExpansion: "list",
  validatorUrl: null, // it would ask another host
});
