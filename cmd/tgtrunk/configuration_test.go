package main

// onAsterisk is what the configurations of most tests begin with, or go on with behind their store: the simulated
// Telegram, the accounts and a link to Asterisk. Further links may follow at once.
const onAsterisk = `log: {level: debug}
telegram:
  listen: "127.0.0.1:0"
  server: {address: "{{.Cloud}}", public_key: {{.Dir}}/cloud.pem.pub}
accounts:
{{- range .Accounts}}
  - {name: {{.Name}}, api_id: 1, api_hash: "00000000000000000000000000000000", phone: "{{.User.Phone}}", reached_in: {{$.ReachedIn}}, max_calls: 1000}
{{- end}}
pbx:
  - name: office
    asterisk: {url: "{{.ARI}}", username: {{.User}}, password: {file: {{.Dir}}/ari.password}, app: {{.Service}}}
`
