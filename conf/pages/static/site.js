// Keeps figures fresh while somebody looks. Everything works without it.
(() => {
  "use strict";
  const every = 10000;
  const live = () => [...document.querySelectorAll("[data-refresh]")];
  if (live().length === 0) return;
  // What somebody has opened stays open, and is no news.
  const keepOpen = (old, next) => {
    const was = old.querySelectorAll("details");
    next.querySelectorAll("details").forEach((details, i) => { if (was[i]) details.open = was[i].open; });
  };
  const refresh = async () => {
    if (document.hidden) return;
    try {
      const reply = await fetch(location.href, { credentials: "same-origin", redirect: "error" });
      if (!reply.ok) return;
      const page = new DOMParser().parseFromString(await reply.text(), "text/html");
      const fresh = [...page.querySelectorAll("[data-refresh]")];
      live().forEach((old, i) => {
        if (!fresh[i] || old.contains(document.activeElement)) return;
        keepOpen(old, fresh[i]);
        if (old.innerHTML !== fresh[i].innerHTML) old.replaceWith(fresh[i]);
      });
    } catch { /* the next time */ }
  };
  setInterval(refresh, every);
})();
