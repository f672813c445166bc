// Keeps figures fresh while somebody looks. Everything works without it.
(() => {
  "use strict";
  const every = 10000;
  const live = () => [...document.querySelectorAll("[data-refresh]")];
  if (live().length === 0) return;
  const refresh = async () => {
    if (document.hidden) return;
    try {
      const reply = await fetch(location.href, { credentials: "same-origin", redirect: "error" });
      if (!reply.ok) return;
      const page = new DOMParser().parseFromString(await reply.text(), "text/html");
      const fresh = [...page.querySelectorAll("[data-refresh]")];
      live().forEach((old, i) => {
        const hasFocus = old.contains(document.activeElement);
        if (fresh[i] && !hasFocus && old.innerHTML !== fresh[i].innerHTML) old.replaceWith(fresh[i]);
      });
    } catch { /* the next time */ }
  };
  setInterval(refresh, every);
})();
