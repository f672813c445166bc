// Drives Chromium for tests/lab/chromium.py: one JSON command a line in, one JSON answer a line out.
import fs from "node:fs";
import { createRequire } from "node:module";
import readline from "node:readline";

const [modules, settings] = [process.argv[2], JSON.parse(process.argv[3])];
const require = createRequire(`${modules}/`);
const { chromium } = require("playwright-core");
const axe = fs.readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");
const wait = settings.wait_ms;

const browser = await chromium.launch({
  executablePath: "/usr/bin/chromium",
  chromiumSandbox: false,
  timeout: wait,
  args: ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-dev-shm-usage",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    `--host-resolver-rules=${settings.hosts}`],
});
const pages = new Map();

const operations = {
  async page({ width, height, scheme, script, language, headers }) {
    const context = await browser.newContext({
      viewport: { width, height }, colorScheme: scheme, javaScriptEnabled: script, ignoreHTTPSErrors: true,
      locale: language, extraHTTPHeaders: headers, hasTouch: width < 600, reducedMotion: "reduce" });
    context.setDefaultTimeout(wait);
    const page = await context.newPage();
    const faults = [];
    page.on("console", (message) => message.type() === "error" && faults.push(message.text()));
    page.on("pageerror", (error) => faults.push(String(error)));
    // ERR_ABORTED is the browser's own doing: the page was left while its icon was still being fetched.
    page.on("requestfailed", (request) => request.failure().errorText !== "net::ERR_ABORTED"
      && faults.push(`${request.url()}: ${request.failure().errorText}`));
    const name = String(pages.size + 1);
    pages.set(name, { page, context, faults });
    return name;
  },
  async close({ on }) { await on.context.close(); },
  async look({ on, width, height, scheme }) {
    await on.page.setViewportSize({ width, height });
    await on.page.emulateMedia({ colorScheme: scheme });
  },
  async goto({ on, url }) {
    const reply = await on.page.goto(url, { waitUntil: "load" });
    return reply ? reply.status() : null;
  },
  async click({ on, what }) {
    await Promise.all([on.page.waitForLoadState("load"), on.page.locator(what).click()]);
    await on.page.waitForLoadState("load");
  },
  async submit({ on, what }) {
    const [reply] = await Promise.all([
      on.page.waitForNavigation({ waitUntil: "load" }), on.page.locator(what).click()]);
    return reply ? reply.status() : null;
  },
  async fill({ on, what, value }) { await on.page.locator(what).fill(value); },
  async select({ on, what, value }) { await on.page.locator(what).selectOption(value); },
  async check({ on, what }) { await on.page.locator(what).check(); },
  async press({ on, key }) { await on.page.keyboard.press(key); },
  async focused({ on }) {
    return on.page.evaluate(() => {
      const e = document.activeElement;
      return { tag: e.tagName, text: (e.textContent || e.value || "").trim(), outline: getComputedStyle(e).outlineStyle };
    });
  },
  async text({ on, what }) { return on.page.locator(what).first().innerText(); },
  async texts({ on, what }) { return on.page.locator(what).allInnerTexts(); },
  async count({ on, what }) { return on.page.locator(what).count(); },
  async attribute({ on, what, name }) { return on.page.locator(what).first().getAttribute(name); },
  async wait({ on, what }) { await on.page.locator(what).first().waitFor(); },
  async url({ on }) { return on.page.url(); },
  async cookies({ on }) { return on.context.cookies(); },
  async evaluate({ on, code }) { return on.page.evaluate(code); },
  async wide({ on }) {
    return on.page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
  },
  async faults({ on }) { return on.faults.splice(0); },
  async shoot({ on, file }) { await on.page.screenshot({ path: file, fullPage: true }); },
  async axe({ on }) {
    if (!await on.page.evaluate(() => "axe" in window)) { // once a document
      await on.page.evaluate(axe);
    }
    const found = await on.page.evaluate(() => window.axe.run(document, {
      runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"],
      resultTypes: ["violations"] })); // of what has passed, their number alone
    return { violations: found.violations.map((v) => ({ id: v.id, impact: v.impact, help: v.help,
      nodes: v.nodes.map((n) => `${n.target}: ${n.failureSummary}`) })), passes: found.passes.length };
  },
};

process.stdout.write(`${JSON.stringify({ ready: browser.version() })}\n`);
for await (const line of readline.createInterface({ input: process.stdin })) {
  const { operation, page, ...rest } = JSON.parse(line);
  let answer;
  try {
    answer = { value: (await operations[operation]({ on: pages.get(page), ...rest })) ?? null };
  } catch (error) {
    answer = { error: String(error.stack || error) };
  }
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}
await browser.close();
