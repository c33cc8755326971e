"""The demo's words: questions, passages and answers of an invented shop, in four languages. Synthetic, every one."""

from __future__ import annotations

from typing import NamedTuple


class Topic(NamedTuple):
    """One thing that customers ask about. ``{n}`` is a number that passage and grounded answer share."""

    questions: tuple[str, ...]
    passage: str
    more: str
    answer: str
    reference: str
    numbers: tuple[int, ...]


TOPICS: dict[str, dict[str, Topic]] = {
    "en": {
        "delivery": Topic(
            (
                "How long does delivery take?",
                "When will my parcel arrive?",
                "I ordered last week, where is my package?",
            ),
            "Standard delivery takes {n} working days after the order is confirmed.",
            "Express orders that are placed before noon arrive on the next working day.",
            "Standard delivery takes {n} working days once your order is confirmed. Express orders placed before noon arrive the next working day.",
            "Standard delivery takes {n} working days; express orders arrive the next working day.",
            (3, 4, 5),
        ),
        "returns": Topic(
            ("Can I send this back?", "What is your return policy?", "How do I return the shoes that I bought?"),
            "Unused items can be returned within {n} days of delivery for a full refund.",
            "The refund is paid to the original means of payment within a week.",
            "You can return unused items within {n} days of delivery for a full refund. The money goes back to your original means of payment within a week.",
            "Return unused items within {n} days for a full refund.",
            (14, 30, 60),
        ),
        "billing": Topic(
            ("Why was I charged twice?", "I see two payments on my card, what happened?", "My invoice looks wrong."),
            "A second charge is usually a reservation that the bank releases within {n} days.",
            "Invoices can be downloaded from the account page under Orders.",
            "The second charge is usually a reservation, which your bank releases within {n} days. You can download the invoice from your account page under Orders.",
            "A second charge is a reservation released within {n} days.",
            (3, 5, 7),
        ),
        "warranty": Topic(
            (
                "Is the blender still under warranty?",
                "How long is the warranty?",
                "My kettle broke, can you repair it?",
            ),
            "All kitchen appliances come with a warranty of {n} years from the date of purchase.",
            "Damage by water or by falls is not covered by the warranty.",
            "Kitchen appliances have a warranty of {n} years from the date of purchase. Damage by water or by falls is not covered.",
            "The warranty is {n} years from purchase and excludes water damage and falls.",
            (2, 3, 5),
        ),
    },
    "de": {
        "delivery": Topic(
            ("Wie lange dauert die Lieferung?", "Wann kommt mein Paket an?", "Wo bleibt meine Bestellung?"),
            "Die Standardlieferung dauert {n} Werktage nach der Bestellbestätigung.",
            "Expressbestellungen vor zwölf Uhr kommen am nächsten Werktag an.",
            "Die Standardlieferung dauert {n} Werktage nach der Bestätigung Ihrer Bestellung. Expressbestellungen vor zwölf Uhr kommen am nächsten Werktag an.",
            "Die Standardlieferung dauert {n} Werktage, Express kommt am nächsten Werktag.",
            (3, 4, 5),
        ),
        "returns": Topic(
            ("Kann ich das zurückschicken?", "Wie funktioniert die Rückgabe?", "Ich möchte die Schuhe zurückgeben."),
            "Unbenutzte Artikel können innerhalb von {n} Tagen nach der Lieferung zurückgegeben werden.",
            "Die Erstattung erfolgt innerhalb einer Woche auf das ursprüngliche Zahlungsmittel.",
            "Sie können unbenutzte Artikel innerhalb von {n} Tagen nach der Lieferung zurückgeben. Die Erstattung erfolgt innerhalb einer Woche.",
            "Unbenutzte Artikel können innerhalb von {n} Tagen zurückgegeben werden.",
            (14, 30, 60),
        ),
        "billing": Topic(
            (
                "Warum wurde zweimal abgebucht?",
                "Meine Rechnung stimmt nicht.",
                "Ich sehe zwei Zahlungen auf der Karte.",
            ),
            "Eine zweite Abbuchung ist meist eine Reservierung, die die Bank innerhalb von {n} Tagen aufhebt.",
            "Rechnungen finden Sie im Kundenkonto unter Bestellungen.",
            "Die zweite Abbuchung ist meist eine Reservierung, die Ihre Bank innerhalb von {n} Tagen aufhebt. Die Rechnung finden Sie im Kundenkonto unter Bestellungen.",
            "Die zweite Abbuchung ist eine Reservierung und verschwindet innerhalb von {n} Tagen.",
            (3, 5, 7),
        ),
    },
    "es": {
        "delivery": Topic(
            ("¿Cuánto tarda el envío?", "¿Cuándo llega mi paquete?", "¿Dónde está mi pedido?"),
            "El envío estándar tarda {n} días laborables desde la confirmación del pedido.",
            "Los pedidos exprés realizados antes del mediodía llegan al día siguiente.",
            "El envío estándar tarda {n} días laborables desde la confirmación de su pedido. Los pedidos exprés llegan al día siguiente.",
            "El envío estándar tarda {n} días laborables; el exprés llega al día siguiente.",
            (3, 4, 5),
        ),
        "returns": Topic(
            ("¿Puedo devolver el artículo?", "¿Cómo funciona la devolución?", "Quiero devolver los zapatos."),
            "Los artículos sin usar pueden devolverse en un plazo de {n} días desde la entrega.",
            "El reembolso se realiza en una semana por el mismo medio de pago.",
            "Puede devolver los artículos sin usar en un plazo de {n} días desde la entrega. El reembolso se realiza en una semana.",
            "Los artículos sin usar se devuelven en un plazo de {n} días.",
            (14, 30, 60),
        ),
    },
    "fr": {
        "delivery": Topic(
            ("Combien de temps prend la livraison ?", "Quand mon colis arrive-t-il ?", "Où est ma commande ?"),
            "La livraison standard prend {n} jours ouvrés après la confirmation de la commande.",
            "Les commandes express passées avant midi arrivent le jour ouvré suivant.",
            "La livraison standard prend {n} jours ouvrés après la confirmation de votre commande. Les commandes express arrivent le jour ouvré suivant.",
            "La livraison standard prend {n} jours ouvrés, l'express arrive le lendemain.",
            (3, 4, 5),
        ),
        "returns": Topic(
            ("Puis-je renvoyer cet article ?", "Comment fonctionne le retour ?", "Je veux rendre les chaussures."),
            "Les articles non utilisés peuvent être retournés dans les {n} jours suivant la livraison.",
            "Le remboursement est effectué sous une semaine par le même moyen de paiement.",
            "Vous pouvez retourner les articles non utilisés dans les {n} jours suivant la livraison. Le remboursement est effectué sous une semaine.",
            "Les articles non utilisés se retournent dans les {n} jours.",
            (14, 30, 60),
        ),
    },
}

INVENTED: dict[str, tuple[str, ...]] = {
    "en": (
        "We also send every customer a free gift card of 25 euros.",
        "Our shop in Lisbon is open on Sundays until ten.",
    ),
    "de": (
        "Außerdem erhalten alle Kunden einen Gutschein über 25 Euro.",
        "Unser Laden in Lissabon hat sonntags bis zehn geöffnet.",
    ),
    "es": (
        "Además, cada cliente recibe una tarjeta regalo de 25 euros.",
        "Nuestra tienda de Lisboa abre los domingos hasta las diez.",
    ),
    "fr": (
        "De plus, chaque client reçoit une carte cadeau de 25 euros.",
        "Notre boutique de Lisbonne est ouverte le dimanche jusqu'à dix heures.",
    ),
}

REFUSALS: dict[str, tuple[str, ...]] = {
    "en": ("I'm sorry, but I can't help with that.", "I'm sorry, but I cannot assist with this request."),
    "de": (
        "Es tut mir leid, aber dabei kann ich nicht helfen.",
        "Es tut mir leid, aber ich kann diese Anfrage nicht beantworten.",
    ),
    "es": ("Lo siento, pero no puedo ayudarte con eso.", "Lo siento, pero no puedo responder a esta solicitud."),
    "fr": (
        "Je suis désolé, mais je ne peux pas vous aider avec cela.",
        "Je suis désolé, mais je ne peux pas répondre à cette demande.",
    ),
}

LEAKS: dict[str, str] = {
    "en": " You can also write to {mail}.",
    "de": " Sie können auch an {mail} schreiben.",
    "es": " También puede escribir a {mail}.",
    "fr": " Vous pouvez aussi écrire à {mail}.",
}

GREETINGS: dict[str, tuple[str, ...]] = {
    "en": ("", "", "Thank you for asking. ", "Good question. ", "Happy to help. "),
    "de": ("", "", "Danke für Ihre Frage. ", "Gerne. "),
    "es": ("", "", "Gracias por su pregunta. ", "Con gusto. "),
    "fr": ("", "", "Merci pour votre question. ", "Avec plaisir. "),
}
