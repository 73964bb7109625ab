package config

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/tgtrunk/tgtrunk/telegram/chat"
)

// Every text can be given for every language, under its name.
func TestEveryTextInTheFile(t *testing.T) {
	minimal, err := os.ReadFile("testdata/minimal.yaml")
	if err != nil {
		t.Fatal(err)
	}
	texts := make([]string, 0, len(chat.Keys()))
	for _, key := range chat.Keys() {
		texts = append(texts, fmt.Sprintf("%s: {nl: een, pt-BR: um, zh-hans: 一}", key))
	}
	all := strings.Replace(string(minimal), "{name: sales,", "{name: sales, chat: {language: nl, texts: {"+strings.Join(texts, ", ")+"}},", 1)
	c, err := parse("x.yaml", []byte(all))
	if err != nil {
		t.Fatal(err)
	}
	if got := c.Accounts[0].Chat; got.Desk == nil || len(got.Texts) != len(chat.Keys()) || got.Texts["later"]["zh-hans"] != "一" {
		t.Errorf("the chat is %+v", got)
	}
	_, err = parse("x.yaml", []byte(strings.Replace(all, "zh-hans", "chinese", 1)))
	if err == nil || !strings.Contains(err.Error(), `x.yaml:2: chat: "chinese" is no language`) {
		t.Errorf("%v", err)
	}
	docs, err := os.ReadFile("../docs/chat.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range chat.Keys() {
		if !strings.Contains(string(docs), "`"+string(key)+"`") {
			t.Errorf("docs/chat.md does not explain the text %s", key)
		}
	}
}
