// Package mtserver is the server side of MTProto 2.0 over TCP: transports, key exchange, sessions, service messages and the
// unwrapping of queries. It is made for foreign clients, official ones included.
//
// It does: abridged, intermediate, padded intermediate and full framing, plain or obfuscated, found out by itself; the
// connection check of official clients (a lone req_pq_multi in front of an established key); permanent and temporary keys;
// salts that change, duplicate queries answered from memory, answers and updates that were not acknowledged sent again on
// the session's next connection; gzip and zlib; invokeWithLayer, initConnection, invokeAfterMsg(s), invokeWithoutUpdates and
// gzip_packed in any nesting.
//
// It does not know any API method, user or update: a Handler does. It does not keep keys: the Handler does. No HTTP, no
// WebSocket, no proxy secrets.
package mtserver
