"""Languages are told apart or left undecided, in twelve languages, and the match of prompt and response follows."""

# Turkish has an i without a dot.
# ruff: noqa: RUF001

from __future__ import annotations

import ast
import gzip
import json
import random
import re
import time
from importlib.util import find_spec
from pathlib import Path

import pytest

from evalsvc.errors import InputError
from evalsvc.scorers import _language
from evalsvc.scorers._prose import looks_like_code, prose
from evalsvc.scorers.answer_language_match import AnswerLanguageMatch
from evalsvc.scorers.text_language import PromptLanguage, ResponseLanguage
from evalsvc.testing.samples import make_sample
from evalsvc.types import Abstained, Message, Scored

SENTENCES = {
    "en": """Where can I find last month's invoice?
        The parcel was handed to the neighbour on Tuesday.
        How do I change the address of my order?
        Please restart the router and wait two minutes.
        We are sorry that the delivery took so long.
        You can cancel the contract until the end of the month.
        Is there a discount for students?
        I have forgotten my password again.
        The refund will be on your account within five days.
        Thanks for your quick answer!""",
    "de": """Wo finde ich die Rechnung vom letzten Monat?
        Das Paket wurde am Dienstag beim Nachbarn abgegeben.
        Wie ändere ich die Adresse meiner Bestellung?
        Bitte starten Sie den Router neu und warten Sie zwei Minuten.
        Es tut uns leid, dass die Lieferung so lange gedauert hat.
        Sie können den Vertrag bis zum Ende des Monats kündigen.
        Gibt es einen Rabatt für Studenten?
        Ich habe mein Passwort schon wieder vergessen.
        Die Erstattung ist in fünf Tagen auf Ihrem Konto.
        Danke für die schnelle Antwort!""",
    "fr": """Où puis-je trouver la facture du mois dernier ?
        Le colis a été remis au voisin mardi.
        Comment changer l'adresse de ma commande ?
        Veuillez redémarrer le routeur et attendre deux minutes.
        Nous sommes désolés que la livraison ait été si longue.
        Vous pouvez résilier le contrat jusqu'à la fin du mois.
        Y a-t-il une réduction pour les étudiants ?
        J'ai encore oublié mon mot de passe.
        Le remboursement sera sur votre compte sous cinq jours.
        Merci pour votre réponse rapide !""",
    "es": """¿Dónde puedo encontrar la factura del mes pasado?
        El paquete fue entregado al vecino el martes.
        ¿Cómo cambio la dirección de mi pedido?
        Por favor, reinicie el router y espere dos minutos.
        Lamentamos que la entrega haya tardado tanto.
        Puede cancelar el contrato hasta el final del mes.
        ¿Hay algún descuento para estudiantes?
        He olvidado mi contraseña otra vez.
        El reembolso estará en su cuenta en cinco días.
        ¡Gracias por su rápida respuesta!""",
    "it": """Dove posso trovare la fattura del mese scorso?
        Il pacco è stato consegnato al vicino martedì.
        Come cambio l'indirizzo del mio ordine?
        Riavvii il router e aspetti due minuti.
        Ci dispiace che la consegna sia durata così a lungo.
        Può disdire il contratto entro la fine del mese.
        C'è uno sconto per gli studenti?
        Ho dimenticato di nuovo la mia password.
        Il rimborso sarà sul suo conto entro cinque giorni.
        Grazie per la risposta così veloce!""",
    "pt": """Onde posso encontrar a fatura do mês passado?
        A encomenda foi entregue ao vizinho na terça-feira.
        Como altero o endereço do meu pedido?
        Por favor, reinicie o roteador e espere dois minutos.
        Lamentamos que a entrega tenha demorado tanto.
        Você pode cancelar o contrato até o fim do mês.
        Existe algum desconto para estudantes?
        Esqueci a minha senha outra vez.
        O reembolso estará na sua conta em cinco dias.
        Obrigado pela sua resposta rápida!""",
    "nl": """Waar vind ik de factuur van vorige maand?
        Het pakket is dinsdag bij de buurman afgegeven.
        Hoe wijzig ik het adres van mijn bestelling?
        Start de router opnieuw op en wacht twee minuten.
        Het spijt ons dat de levering zo lang heeft geduurd.
        U kunt het contract tot het einde van de maand opzeggen.
        Is er korting voor studenten?
        Ik ben mijn wachtwoord weer vergeten.
        De terugbetaling staat binnen vijf dagen op uw rekening.
        Bedankt voor uw snelle antwoord!""",
    "pl": """Gdzie mogę znaleźć fakturę z zeszłego miesiąca?
        Paczka została we wtorek przekazana sąsiadowi.
        Jak mogę zmienić adres mojego zamówienia?
        Proszę ponownie uruchomić router i poczekać dwie minuty.
        Przykro nam, że dostawa trwała tak długo.
        Umowę można wypowiedzieć do końca miesiąca.
        Czy jest zniżka dla studentów?
        Znowu zapomniałem hasła.
        Zwrot pieniędzy będzie na koncie w ciągu pięciu dni.
        Dziękuję za szybką odpowiedź!""",
    "ru": """Где я могу найти счёт за прошлый месяц?
        Посылку во вторник передали соседу.
        Как изменить адрес моего заказа?
        Пожалуйста, перезапустите роутер и подождите две минуты.
        Нам жаль, что доставка заняла так много времени.
        Вы можете расторгнуть договор до конца месяца.
        Есть ли скидка для студентов?
        Я снова забыл свой пароль.
        Деньги вернутся на ваш счёт в течение пяти дней.
        Спасибо за быстрый ответ!""",
    "tr": """Geçen ayın faturasını nerede bulabilirim?
        Paket salı günü komşuya teslim edildi.
        Siparişimin adresini nasıl değiştirebilirim?
        Lütfen modemi yeniden başlatın ve iki dakika bekleyin.
        Teslimatın bu kadar uzun sürmesinden dolayı üzgünüz.
        Sözleşmeyi ay sonuna kadar iptal edebilirsiniz.
        Öğrenciler için indirim var mı?
        Şifremi yine unuttum.
        Para iadesi beş gün içinde hesabınızda olacak.
        Hızlı cevabınız için teşekkürler!""",
    "zh": """在哪里可以找到上个月的发票?
        包裹星期二已经交给邻居了。
        我怎么修改订单的地址?
        请重新启动路由器,然后等两分钟。
        很抱歉,这次送货花了这么长时间。
        您可以在月底之前取消合同。
        学生有没有优惠?
        我又忘记密码了。
        退款会在五天之内到您的账户。
        谢谢您这么快回复!""",
    "ja": """先月の請求書はどこで見られますか。
        荷物は火曜日に隣の人に渡されました。
        注文の住所を変更するにはどうすればいいですか。
        ルーターを再起動して、二分お待ちください。
        配達に時間がかかり、申し訳ございません。
        契約は月末まで解約できます。
        学生割引はありますか。
        またパスワードを忘れました。
        返金は五日以内に口座に入ります。
        早速のご返事ありがとうございます。""",
    "ar": """أين يمكنني أن أجد فاتورة الشهر الماضي؟
        تم تسليم الطرد إلى الجار يوم الثلاثاء.
        كيف أغير عنوان طلبي؟
        يرجى إعادة تشغيل جهاز التوجيه والانتظار دقيقتين.
        نأسف لأن التوصيل استغرق كل هذا الوقت.
        يمكنك إلغاء العقد حتى نهاية الشهر.
        هل يوجد خصم للطلاب؟
        لقد نسيت كلمة المرور مرة أخرى.
        سيصل المبلغ إلى حسابك خلال خمسة أيام.
        شكرا على ردكم السريع!""",
    "hi": """पिछले महीने का बिल मुझे कहाँ मिलेगा?
        पार्सल मंगलवार को पड़ोसी को दे दिया गया।
        मैं अपने ऑर्डर का पता कैसे बदलूँ?
        कृपया राउटर फिर से चालू करें और दो मिनट रुकें।
        हमें खेद है कि डिलीवरी में इतना समय लगा।
        आप महीने के अंत तक अनुबंध रद्द कर सकते हैं।
        क्या छात्रों के लिए कोई छूट है?
        मैं अपना पासवर्ड फिर से भूल गया हूँ।
        पैसे पाँच दिनों में आपके खाते में आ जाएँगे।
        आपके जल्दी जवाब के लिए धन्यवाद!""",
}
CASES = [(code, line.strip()) for code, lines in SENTENCES.items() for line in lines.splitlines()]
# spaCy's codes where ours join several; the others of its languages are unknown to py3langid or no language.
SPACY_CODES = {"nb": "no", "nn": "no", "kmr": "ku", "hr": "sh", "sr": "sh", "id": "ms"}
SPACY_UNKNOWN = {"xx", "bo", "ti", "tn", "dsb", "hsb", "grc", "sa", "la"}


@pytest.fixture(scope="module")
def scorer():
    made = AnswerLanguageMatch()
    made.load()
    return made


def match(scorer, prompt, response):
    (outcome,) = scorer.score([make_sample(prompt=prompt, response=response)])
    return outcome


def accuracy(guesses):
    """The share with a language, and of these the share that is right."""
    decided = [(code, guess.language) for code, guess in guesses if guess.language is not None]
    return len(decided) / len(guesses), sum(code == found for code, found in decided) / len(decided)


def test_there_are_ten_sentences_a_language_in_twelve_and_more():
    assert len(SENTENCES) >= 12
    assert all(len(lines.splitlines()) == 10 for lines in SENTENCES.values())


def test_short_sentences_in_fourteen_languages():
    decided, right = accuracy([(code, _language.identify(text)) for code, text in CASES])
    assert right == 1.0
    assert decided >= 0.95


def spacy_sentences():
    """The example sentences in spaCy's language folders, read from the files: importing all takes half a minute."""
    for file in sorted(Path(find_spec("spacy").origin).parent.glob("lang/*/examples.py")):
        code = file.parent.name
        if code not in SPACY_UNKNOWN:
            (found,) = (node.value for node in ast.parse(file.read_text("utf-8")).body if isinstance(node, ast.Assign))
            yield from ((SPACY_CODES.get(code, code), text) for text in ast.literal_eval(found))


def test_spacys_example_sentences_of_fifty_languages():
    guesses = [(code, _language.identify(text)) for code, text in spacy_sentences()]
    decided, right = accuracy(guesses)
    assert len({code for code, _ in guesses}) >= 50
    assert right >= 0.99
    assert decided >= 0.8


def test_translated_talks_in_english_german_and_chinese(shared_data):
    with gzip.open(shared_data / "quality" / "wmt_mqm_ted" / "visible.jsonl.gz", "rt", encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    texts = set()
    for row in rows:
        pair = ("en", "de") if row["dataset"].endswith("ende") else ("zh", "en")
        texts |= {(pair[0], row["source"]), (pair[1], re.sub("</?v>", "", row["target"]))}
    drawn = random.Random(5).sample(sorted(texts), 500)
    decided, right = accuracy([(code, _language.identify(text)) for code, text in drawn])
    assert right >= 0.998
    assert decided >= 0.97


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("👩‍👩‍👧 👍🏽 🎉", "no letters outside code and addresses"),
        ("https://example.com/the/long/way/home?of=words", "no letters outside code and addresses"),
        ("someone.else@example.com", "no letters outside code and addresses"),
        ("```python\nprint('the quick brown fox')\n```", "no letters outside code and addresses"),
        ("`the quick brown fox jumps`", "no letters outside code and addresses"),
        ("for (int i = 0; i < n; i++) {\n  total += prices[i];\n}", "no letters outside code and addresses"),
        ("SELECT name FROM users WHERE age > 30;", "no letters outside code and addresses"),
        ("12345 67890 12,3 %", "no letters outside code and addresses"),
        ("\x00\x01\x02\x7f" * 10, "no letters outside code and addresses"),
        ("Ok thanks", "fewer than 12 letters outside code and addresses"),
        ("\ud800 \udfff", "no letters outside code and addresses"),
        ("Спасибо за ответ, thanks a lot for that", "mixed scripts"),
        ("asdf qwer zxcv uiop hjkl vbnm", "no language found"),
        ("aaaaaaaaaaaaaaaaaaaaaaaa", "language not sure"),
    ],
)
def test_what_is_in_no_language_is_left_undecided(scorer, text, reason):
    guess = _language.identify(text)
    assert (guess.language, guess.reason) == (None, reason)
    assert match(scorer, "Where can I find last month's invoice?", text) == Abstained(f"response: {reason}")


@pytest.mark.parametrize(
    ("code", "text"), [("ko", "안녕하세요"), ("th", "สวัสดีครับ"), ("ja", "ありがとう"), ("ka", "გამარჯობა")]
)
def test_a_script_of_one_language_decides_in_a_word(code, text):
    assert _language.identify(text) == _language.Guess(code, margin=1.0)


def test_a_japanese_name_in_a_chinese_text_does_not_make_it_japanese():
    text = "我昨天在商店里买了一本关于ののか的书,今天已经开始看了,内容非常有意思。"
    assert _language.identify(text).language == "zh"


def test_variants_that_iso_joins_are_one_language(scorer):
    outcome = match(scorer, "Hvor finner jeg fakturaen fra forrige måned?", "Kvar finn eg fakturaen frå førre månad?")
    assert outcome == Scored(1.0, {"prompt": "no", "response": "no"})


def test_the_language_of_the_last_user_message_counts(scorer):
    chat = (Message("user", "Where is my parcel?"), Message("assistant", "Who knows?"), Message("user", CASES[10][1]))
    assert match(scorer, chat, CASES[11][1]) == Scored(1.0, {"prompt": "de", "response": "de"})
    assert match(scorer, chat, CASES[0][1]) == Scored(0.0, {"prompt": "de", "response": "en"})


def test_code_in_a_german_answer_does_not_make_it_english(scorer):
    answer = "So geht es:\n```python\nfor line in open(path):\n    print(line)\n```\nDamit wird jede Zeile ausgegeben."
    assert match(scorer, "Wie lese ich eine Datei zeilenweise?", answer).value == 1.0


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"prompt": ""}, "no user message"),
        ({"prompt": (Message("system", "Du bist ein hilfreicher Assistent der Bank."),)}, "no user message"),
        ({"response": " \n"}, "empty response"),
        ({"prompt": "Hi"}, "prompt: fewer than 12 letters outside code and addresses"),
    ],
)
def test_missing_texts_abstain(scorer, fields, reason):
    assert scorer.score([make_sample(**fields)]) == [Abstained(reason)]


def test_the_least_length_is_an_option():
    eager = AnswerLanguageMatch(min_characters=4)
    assert match(eager, "Where is it?", "Danke schön").value == 0.0
    assert eager.spec.signature != AnswerLanguageMatch().spec.signature
    assert "py3langid." in eager.spec.signature
    for wrong in (0, -1, True, 1.5):
        with pytest.raises(InputError, match="min_characters"):
            AnswerLanguageMatch(min_characters=wrong)


@pytest.mark.parametrize(
    "piece", ["a", "```\n", "`a", "<a ", "a@", "www.", "東", "\n", "~~~\n```\n", "[", "e\u0301", "x. "]
)
def test_two_hundred_thousand_characters_take_no_time(scorer, piece):
    text = (piece * (200_000 // len(piece)))[:200_000]
    began = time.process_time()
    match(scorer, text, text)
    assert time.process_time() - began < 2.0


def test_lines_of_code_are_told_from_prose():
    code = ["x = f(y)", "import numpy as np", "def f():", "const a = 1;", "}", "$ ls", "return x[1] + y[2];"]
    text = [
        "It takes three days (or one).",
        "let me know",
        "import duties apply",
        "from Monday on",
        "class dismissed",
        "A, B",
    ]
    assert [line for line in code if not looks_like_code(line)] == []
    assert [line for line in text if looks_like_code(line)] == []
    assert prose("<p>One <b>bold</b> word</p>").split() == ["One", "bold", "word"]


def test_a_text_that_several_scorers_of_a_batch_ask_about_is_classified_once(monkeypatch: pytest.MonkeyPatch) -> None:
    _language.load()
    identifier = _language._identifier()
    ranked: list[str] = []
    rank = type(identifier).rank

    def counting(self: object, text: str) -> object:
        ranked.append(text)
        return rank(self, text)

    monkeypatch.setattr(type(identifier), "rank", counting)
    _language._remembered.cache_clear()
    prompts = ["Where can I find the invoice of March, please?", "Wo finde ich die Rechnung für den Monat März?"]
    batch = [make_sample(prompt=prompt, response=f"{prompt} - {prompt}") for prompt in prompts]
    first = AnswerLanguageMatch().score(batch)
    scorers = [PromptLanguage(), ResponseLanguage()]
    for scorer in scorers:
        scorer.load()
    codes = [[outcome.detail["language"] for outcome in scorer.score(batch)] for scorer in scorers]
    assert codes == [["en", "de"], ["en", "de"]]
    assert len(ranked) == len(set(ranked)) == 4
    assert AnswerLanguageMatch().score(batch) == first
    assert len(ranked) == 4
    # Long texts are not kept.
    assert [_language.identify(prompts[0] * 100).language for _ in range(2)] == ["en", "en"]
    assert len(ranked) == 6
    # What a longer minimum refuses does not depend on what was remembered.
    assert _language.identify(prompts[0], 500).language is None
