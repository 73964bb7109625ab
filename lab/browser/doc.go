// Package browser is a second opinion on calls: a headless Chromium whose WebRTC is one side of a Telegram call, as it is
// in the web clients. It shares no code with the call engine of this project.
//
// It does: start Chromium with a page of its own, which encrypts and carries the signalling of library version 13.0.0,
// negotiates in the order and with the strictness of Telegram Web A and Web K, plays a tone as its microphone and hands
// back what it hears. Chromium and all its processes end with the page, or with the process that started them.
//
// It does not: install Chromium, know an account, speak other versions, send video, restart ICE, or leave loopback but
// for what Chromium does on its own.
//
// The behaviour of the web clients was observed in Chromium 156 (Web A of May 2026, Web K of July 2026).
package browser
