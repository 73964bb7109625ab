package chat

import "maps"

// builtInTexts are the texts that are not given, by language: polite, and without the gender of anybody. Digits look the
// same in all of them.
func builtInTexts() map[string]map[Key]string {
	all := germanicAndRomance()
	maps.Copy(all, slavicAndTurkish())
	return all
}

func germanicAndRomance() map[string]map[Key]string {
	return map[string]map[Key]string{
		builtIn: {
			TextAutoAnswer: "Nobody reads messages here. Please call this account.",
			TextAutoClosed: "We are closed now, and nobody reads messages here.[ We open on {date} at {time}.]",
			TextMenu:       "Answer with a number, and we call you and connect you:\n{departments}",
			TextClosed:     "[{name}: ]closed now.[ Opens on {date} at {time}.]",
			TextCalling:    "We are calling you[ to connect you with {name}].",
			TextLater:      "You have asked for several calls already. Please try again later.",
			TextCard:       "Call from [{name}, ]ext {number}",
			TextTried:      "We tried to reach you[: {name}][, ext {number}].",
			TextPrivate:    "We tried to call you[: {name}][, ext {number}]. Your privacy settings do not allow it: please add this account to your contacts, or allow its calls.",
			TextMissed:     "You called, and nobody could take the call.[ Write “{word}”, and we call you.]",
			TextFailed:     "We could not call you. Please look whether your privacy settings let us.",
			TextDigits:     "☎ {digits}",
		},
		"de": {
			TextAutoAnswer: "Hier liest niemand Nachrichten. Bitte rufen Sie dieses Konto an.",
			TextAutoClosed: "Zurzeit ist geschlossen, und hier liest niemand Nachrichten.[ Wir öffnen am {date} um {time}.]",
			TextMenu:       "Antworten Sie mit einer Nummer, dann rufen wir Sie an und verbinden Sie:\n{departments}",
			TextClosed:     "[{name}: ]zurzeit geschlossen.[ Öffnet am {date} um {time}.]",
			TextCalling:    "Wir rufen Sie an[ und verbinden Sie mit {name}].",
			TextLater:      "Sie haben schon mehrere Anrufe angefordert. Bitte versuchen Sie es später noch einmal.",
			TextCard:       "Anruf von [{name}, ]Durchwahl {number}",
			TextTried:      "Wir haben versucht, Sie zu erreichen[: {name}][, Durchwahl {number}].",
			TextPrivate:    "Wir wollten Sie anrufen[: {name}][, Durchwahl {number}]. Ihre Einstellungen zur Privatsphäre lassen es nicht zu: Bitte nehmen Sie dieses Konto in Ihre Kontakte auf, oder erlauben Sie seine Anrufe.",
			TextMissed:     "Sie haben angerufen, und niemand konnte den Anruf annehmen.[ Schreiben Sie „{word}“, dann rufen wir Sie an.]",
			TextFailed:     "Wir konnten Sie nicht anrufen. Bitte prüfen Sie, ob Ihre Einstellungen zur Privatsphäre es zulassen.",
		},
		"es": {
			TextAutoAnswer: "Aquí nadie lee los mensajes. Por favor, llame a esta cuenta.",
			TextAutoClosed: "Ahora está cerrado y aquí nadie lee los mensajes.[ Abrimos el {date} a las {time}.]",
			TextMenu:       "Responda con un número y le llamaremos para ponerle en contacto:\n{departments}",
			TextClosed:     "[{name}: ]cerrado ahora.[ Abre el {date} a las {time}.]",
			TextCalling:    "Le llamamos[ para ponerle en contacto con {name}].",
			TextLater:      "Ya ha solicitado varias llamadas. Por favor, inténtelo más tarde.",
			TextCard:       "Llamada de [{name}, ]extensión {number}",
			TextTried:      "Hemos intentado hablar con usted[: {name}][, extensión {number}].",
			TextPrivate:    "Hemos intentado llamarle[: {name}][, extensión {number}]. Su configuración de privacidad no lo permite: por favor, añada esta cuenta a su agenda o permita sus llamadas.",
			TextMissed:     "Usted ha llamado y nadie ha podido atender la llamada.[ Escriba «{word}» y le llamaremos.]",
			TextFailed:     "No hemos podido llamarle. Por favor, compruebe si su configuración de privacidad lo permite.",
		},
		"fr": {
			TextAutoAnswer: "Personne ne lit les messages ici. Veuillez appeler ce compte.",
			TextAutoClosed: "Nous sommes fermés actuellement, et personne ne lit les messages ici.[ Ouverture le {date} à {time}.]",
			TextMenu:       "Répondez par un numéro, et nous vous appellerons pour vous mettre en relation :\n{departments}",
			TextClosed:     "[{name} : ]fermé actuellement.[ Ouverture le {date} à {time}.]",
			TextCalling:    "Nous vous appelons[ pour vous mettre en relation avec {name}].",
			TextLater:      "Vous avez déjà demandé plusieurs appels. Veuillez réessayer plus tard.",
			TextCard:       "Appel de [{name}, ]poste {number}",
			TextTried:      "Nous avons essayé de vous joindre[ : {name}][, poste {number}].",
			TextPrivate:    "Nous avons essayé de vous appeler[ : {name}][, poste {number}]. Vos paramètres de confidentialité ne le permettent pas : veuillez ajouter ce compte à vos contacts ou autoriser ses appels.",
			TextMissed:     "Vous avez appelé, et personne n’a pu répondre.[ Écrivez « {word} », et nous vous appellerons.]",
			TextFailed:     "Nous n’avons pas pu vous appeler. Veuillez vérifier que vos paramètres de confidentialité le permettent.",
		},
		"it": {
			TextAutoAnswer: "Qui nessuno legge i messaggi. La preghiamo di chiamare questo account.",
			TextAutoClosed: "Ora è chiuso e qui nessuno legge i messaggi.[ Apriamo il {date} alle {time}.]",
			TextMenu:       "Risponda con un numero: La chiameremo per metterLa in contatto:\n{departments}",
			TextClosed:     "[{name}: ]ora chiuso.[ Apre il {date} alle {time}.]",
			TextCalling:    "La stiamo chiamando[ per metterLa in contatto con {name}].",
			TextLater:      "Ha già richiesto diverse chiamate. La preghiamo di riprovare più tardi.",
			TextCard:       "Chiamata da [{name}, ]interno {number}",
			TextTried:      "Abbiamo cercato di contattarLa[: {name}][, interno {number}].",
			TextPrivate:    "Abbiamo cercato di chiamarLa[: {name}][, interno {number}]. Le Sue impostazioni di privacy non lo consentono: La preghiamo di aggiungere questo account ai contatti o di consentirne le chiamate.",
			TextMissed:     "Ha chiamato e nessuno ha potuto rispondere.[ Scriva «{word}» e La chiameremo.]",
			TextFailed:     "Non siamo riusciti a chiamarLa. Verifichi che le Sue impostazioni di privacy lo consentano.",
		},
		"pt": {
			TextAutoAnswer: "Ninguém lê mensagens aqui. Por favor, ligue para esta conta.",
			TextAutoClosed: "Estamos fechados agora, e ninguém lê mensagens aqui.[ Abrimos em {date} às {time}.]",
			TextMenu:       "Responda com um número, e ligaremos para você e faremos a transferência:\n{departments}",
			TextClosed:     "[{name}: ]fechado agora.[ Abre em {date} às {time}.]",
			TextCalling:    "Estamos ligando para você[ para colocar você em contato com {name}].",
			TextLater:      "Você já pediu várias chamadas. Por favor, tente novamente mais tarde.",
			TextCard:       "Chamada de [{name}, ]ramal {number}",
			TextTried:      "Tentamos falar com você[: {name}][, ramal {number}].",
			TextPrivate:    "Tentamos ligar para você[: {name}][, ramal {number}]. Suas configurações de privacidade não permitem: por favor, adicione esta conta aos seus contatos ou permita as chamadas dela.",
			TextMissed:     "Você ligou, e ninguém pôde atender.[ Escreva “{word}”, e ligaremos para você.]",
			TextFailed:     "Não conseguimos ligar para você. Por favor, verifique se suas configurações de privacidade permitem.",
		},
	}
}

func slavicAndTurkish() map[string]map[Key]string {
	return map[string]map[Key]string{
		"pl": {
			TextAutoAnswer: "Nikt nie czyta tutaj wiadomości. Prosimy zadzwonić na to konto.",
			TextAutoClosed: "Teraz jest zamknięte i nikt nie czyta tutaj wiadomości.[ Otwarcie {date} o {time}.]",
			TextMenu:       "Prosimy odpowiedzieć numerem, a zadzwonimy i połączymy:\n{departments}",
			TextClosed:     "[{name}: ]teraz zamknięte.[ Otwarcie {date} o {time}.]",
			TextCalling:    "Dzwonimy do Państwa[, aby połączyć z: {name}].",
			TextLater:      "Zamówiono już kilka połączeń. Prosimy spróbować później.",
			TextCard:       "Połączenie: [{name}, ]numer wewnętrzny {number}",
			TextTried:      "Próbowaliśmy się z Państwem skontaktować[: {name}][, numer wewnętrzny {number}].",
			TextPrivate:    "Próbowaliśmy do Państwa zadzwonić[: {name}][, numer wewnętrzny {number}]. Nie pozwalają na to ustawienia prywatności: prosimy dodać to konto do kontaktów albo zezwolić na jego połączenia.",
			TextMissed:     "Nikt nie mógł odebrać Państwa połączenia.[ Prosimy napisać „{word}”, a zadzwonimy.]",
			TextFailed:     "Nie udało się do Państwa zadzwonić. Prosimy sprawdzić, czy pozwalają na to ustawienia prywatności.",
		},
		"ru": {
			TextAutoAnswer: "Сообщения здесь никто не читает. Пожалуйста, позвоните на этот аккаунт.",
			TextAutoClosed: "Сейчас закрыто, и сообщения здесь никто не читает.[ Откроется {date} в {time}.]",
			TextMenu:       "Ответьте номером, и мы позвоним вам и соединим вас:\n{departments}",
			TextClosed:     "[{name}: ]сейчас закрыто.[ Откроется {date} в {time}.]",
			TextCalling:    "Мы вам звоним[, чтобы соединить вас с абонентом {name}].",
			TextLater:      "Вы уже заказали несколько звонков. Пожалуйста, попробуйте позже.",
			TextCard:       "Звонок: [{name}, ]внутренний номер {number}",
			TextTried:      "Мы пытались с вами связаться[: {name}][, внутренний номер {number}].",
			TextPrivate:    "Мы пытались вам позвонить[: {name}][, внутренний номер {number}]. Ваши настройки конфиденциальности этого не разрешают: пожалуйста, добавьте этот аккаунт в контакты или разрешите звонки с него.",
			TextMissed:     "Вы звонили, но никто не смог ответить.[ Напишите «{word}», и мы вам позвоним.]",
			TextFailed:     "Мы не смогли вам позвонить. Пожалуйста, проверьте, разрешают ли это ваши настройки конфиденциальности.",
		},
		"tr": {
			TextAutoAnswer: "Buradaki mesajları kimse okumuyor. Lütfen bu hesabı arayın.",
			TextAutoClosed: "Şu anda kapalıyız ve buradaki mesajları kimse okumuyor.[ Açılış: {date}, saat {time}.]",
			TextMenu:       "Bir numara ile yanıt verin, sizi arayıp bağlayalım:\n{departments}",
			TextClosed:     "[{name}: ]şu anda kapalı.[ Açılış: {date}, saat {time}.]",
			TextCalling:    "Sizi arıyoruz[ ve bağlıyoruz: {name}].",
			TextLater:      "Birkaç arama istediniz bile. Lütfen daha sonra tekrar deneyin.",
			TextCard:       "Arayan: [{name}, ]dahili {number}",
			TextTried:      "Size ulaşmaya çalıştık[: {name}][, dahili {number}].",
			TextPrivate:    "Sizi aramaya çalıştık[: {name}][, dahili {number}]. Gizlilik ayarlarınız buna izin vermiyor: lütfen bu hesabı kişilerinize ekleyin veya aramalarına izin verin.",
			TextMissed:     "Aradınız, ancak kimse yanıt veremedi.[ “{word}” yazın, sizi arayalım.]",
			TextFailed:     "Sizi arayamadık. Lütfen gizlilik ayarlarınızın buna izin verip vermediğini kontrol edin.",
		},
		"uk": {
			TextAutoAnswer: "Повідомлення тут ніхто не читає. Будь ласка, зателефонуйте на цей обліковий запис.",
			TextAutoClosed: "Зараз зачинено, і повідомлення тут ніхто не читає.[ Відчиниться {date} о {time}.]",
			TextMenu:       "Дайте відповідь номером, і ми зателефонуємо вам та з’єднаємо вас:\n{departments}",
			TextClosed:     "[{name}: ]зараз зачинено.[ Відчиниться {date} о {time}.]",
			TextCalling:    "Ми вам телефонуємо[, щоб з’єднати вас з абонентом {name}].",
			TextLater:      "Ви вже замовили кілька дзвінків. Будь ласка, спробуйте пізніше.",
			TextCard:       "Дзвінок: [{name}, ]внутрішній номер {number}",
			TextTried:      "Ми намагалися з вами зв’язатися[: {name}][, внутрішній номер {number}].",
			TextPrivate:    "Ми намагалися вам зателефонувати[: {name}][, внутрішній номер {number}]. Ваші налаштування приватності цього не дозволяють: будь ласка, додайте цей обліковий запис до контактів або дозвольте дзвінки з нього.",
			TextMissed:     "Ви телефонували, але ніхто не зміг відповісти.[ Напишіть «{word}», і ми вам зателефонуємо.]",
			TextFailed:     "Ми не змогли вам зателефонувати. Будь ласка, перевірте, чи дозволяють це ваші налаштування приватності.",
		},
	}
}
