// SPDX-License-Identifier: Apache-2.0
// A browser that does what it is told: driver.mjs chromium|firefox EXECUTABLE DIRECTORY
//
// One JSON command on each line of standard input, {"id", "do", "with"}; for
// each an answer {"id", "value"} or {"id", "error"}, when it is done. The end
// of the input is the end of the browser. DIRECTORY is for the profile.
import { createInterface } from "node:readline";
import puppeteer from "puppeteer-core";

const [browserName, executablePath, directory] = process.argv.slice(2);

const chromium = {
  args: [
    "--no-sandbox", // for when the tests run as root
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    // Nothing but what the tests ask for goes over the network.
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-proxy-server",
    // A page that was left is gone, and its sessions with it.
    "--disable-features=BackForwardCache",
  ],
};

const firefox = {
  extraPrefsFirefox: {
    "app.update.enabled": false,
    "browser.newtabpage.enabled": false,
    "browser.region.network.url": "",
    "datareporting.policy.dataSubmissionEnabled": false,
    "extensions.getAddons.cache.enabled": false,
    "extensions.systemAddon.update.enabled": false,
    "network.captive-portal-service.enabled": false,
    "network.connectivity-service.enabled": false,
    "network.proxy.type": 0,
    "services.settings.server": "",
    "toolkit.telemetry.enabled": false,
  },
};

const browser = await puppeteer.launch({
  browser: browserName === "chromium" ? "chrome" : "firefox",
  executablePath,
  headless: true,
  acceptInsecureCerts: true,
  userDataDir: `${directory}/profile`,
  env: { ...process.env, HOME: directory },
  ...(browserName === "chromium" ? chromium : firefox),
});
const page = await browser.newPage();
await page.setViewport({ width: 1000, height: 700 });

const verbs = {
  open: async (url) => (await page.goto(url, { waitUntil: "load" }))?.status(),
  evaluate: (expression) => page.evaluate(expression),
  type: (text) => page.keyboard.type(text),
  // The last of these keys, with the others held down.
  press: async (keys) => {
    const [key, ...held] = keys.toReversed();
    for (const k of held) await page.keyboard.down(k);
    await page.keyboard.press(key);
    for (const k of held) await page.keyboard.up(k);
  },
  click: ([x, y]) => page.mouse.click(x, y),
  screenshot: async (path) => void (await page.screenshot({ path })),
};

async function answer(line) {
  const { id, do: verb, with: argument } = JSON.parse(line);
  try {
    const value = await verbs[verb](argument);
    console.log(JSON.stringify({ id, value: value ?? null }));
  } catch (e) {
    console.log(JSON.stringify({ id, error: e.stack ?? String(e) }));
  }
}

console.log(JSON.stringify({ id: 0, value: await browser.version() }));
const lines = createInterface({ input: process.stdin });
lines.on("line", answer);
lines.on("close", async () => {
  await browser.close();
  process.exit(0);
});
