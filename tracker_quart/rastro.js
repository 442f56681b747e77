/* Rastro on a shop's own pages. docs/postbacks.md says how it is put there.
 *
 * On the page where a visitor lands it keeps the click id of the address, first-party, for 30 days. On the page that
 * thanks for an order, where its tag has data-token, it sends that id and what the tag says to the tracker. It reads
 * nothing else, runs under a strict Content-Security-Policy, and leaves nothing in the page.
 */
(function () {
  "use strict";

  var script = document.currentScript;
  if (!script) return;

  var NAMES = "clickid,click_id,rastro_id,rid,subid,sub_id,cid";
  var CLICK_ID = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}$/i;
  var KEPT_AS = "rastro_click";
  var DAYS = 30;
  var TRIES = 3;
  var PAUSE_MS = 2000;
  var FIELDS = {
    transaction: "transaction_id",
    amount: "amount",
    currency: "currency",
    event: "event",
    status: "status",
    customer: "customer_id",
    coupon: "coupon",
  };

  var said = script.dataset;
  var tracker = said.tracker || new URL(script.src).origin;

  function found() {
    var query = new URLSearchParams(location.search);
    var names = (said.parameters || NAMES).split(",");
    for (var i = 0; i < names.length; i++) {
      var value = query.get(names[i].trim());
      if (value && CLICK_ID.test(value)) return value;
    }
    return "";
  }

  function keep(id) {
    var cookie = KEPT_AS + "=" + id + "; Max-Age=" + DAYS * 86400 + "; Path=/; SameSite=Lax";
    if (said.domain) cookie += "; Domain=" + said.domain;
    if (location.protocol === "https:") cookie += "; Secure";
    document.cookie = cookie;
    try {
      localStorage.setItem(KEPT_AS, JSON.stringify({ id: id, until: Date.now() + DAYS * 86400000 }));
    } catch (error) {
      // A browser may forbid it; the cookie is enough.
    }
  }

  function kept() {
    var cookie = document.cookie.match(new RegExp("(?:^|; )" + KEPT_AS + "=([^;]*)"));
    if (cookie && CLICK_ID.test(cookie[1])) return cookie[1];
    try {
      var stored = JSON.parse(localStorage.getItem(KEPT_AS));
      if (stored.until > Date.now() && CLICK_ID.test(stored.id)) return stored.id;
    } catch (error) {
      // Nothing is there, or it may not be read.
    }
    return "";
  }

  function query(id) {
    var words = new URLSearchParams({ via: "script" });
    if (id) words.set("click_id", id);
    for (var name in FIELDS) {
      if (said[name]) words.set(FIELDS[name], said[name]);
    }
    return words.toString();
  }

  function picture(words) {
    new Image().src = tracker + "/pixel/" + said.token + ".gif?" + words;
  }

  /* A page may be left at once, and a policy may forbid to connect and still allow pictures. */
  function send(words, tries) {
    var address = tracker + "/postback/" + said.token + "?" + words;
    if (window.fetch && window.Request && "keepalive" in Request.prototype) {
      fetch(address, { method: "POST", keepalive: true, credentials: "omit" }).then(
        function (answer) {
          if (answer.status === 503 && tries > 1) {
            setTimeout(send, PAUSE_MS, words, tries - 1);
          }
        },
        function () {
          picture(words);
        }
      );
    } else if (!(navigator.sendBeacon && navigator.sendBeacon(address))) {
      picture(words);
    }
  }

  var id = found();
  if (id) keep(id);
  if (!said.token) return;

  var words = query(id || kept());
  if (document.prerendering) {
    // Nobody has seen the page yet; what a browser fetches for it now counts for nothing.
    document.addEventListener("prerenderingchange", function () { send(words, TRIES); }, { once: true });
  } else {
    send(words, TRIES);
  }
})();
