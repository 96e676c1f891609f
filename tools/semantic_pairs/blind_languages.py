"""Questions in German, French, Spanish and Chinese: traps, and paraphrases, written before any result.

The rules read English only; what is measured here is that other languages are not served wrong answers.
"""

from collections.abc import Iterator
from typing import Final

from tools.semantic_pairs.generate import Pair, alike, paired

TRAPS: Final = {
    "de": (
        ("Wie hoch ist die Miete?", "Wie hoch ist die Kaution?"),
        ("Darf ich hier parken?", "Darf ich hier nicht parken?"),
        ("Wie kündige ich meinen Vertrag?", "Wie verlängere ich meinen Vertrag?"),
        ("Was kostet eine Fahrt von Köln nach Bonn?", "Was kostet eine Fahrt von Bonn nach Köln?"),
        ("Wer ist der Bürgermeister von Ulm?", "Wer war der Bürgermeister von Ulm?"),
        ("Ist Salz gesund?", "Ist Salz ungesund?"),
        ("Wie viele Tage hat der Februar?", "Wie viele Tage hat der Januar?"),
        ("Welche Pilze sind essbar?", "Welche Pilze sind giftig?"),
        ("Wann öffnet das Museum?", "Wann schließt das Museum?"),
        ("Wie schalte ich das WLAN ein?", "Wie schalte ich das WLAN aus?"),
        ("Bellt der Hund die Katze an?", "Bellt die Katze den Hund an?"),
        ("Habe ich die Rechnung bezahlt?", "Habe ich keine Rechnung bezahlt?"),
        ("Wie ist das Wetter in Frankfurt am Main?", "Wie ist das Wetter in Frankfurt an der Oder?"),
    ),
    "fr": (
        ("Quel est le prix du billet ?", "Quel est le numéro du billet ?"),
        ("Puis-je annuler ma commande ?", "Puis-je modifier ma commande ?"),
        ("Comment allumer la lampe ?", "Comment éteindre la lampe ?"),
        ("Qui a battu la France ?", "Qui la France a-t-elle battu ?"),
        ("Quand ouvre la banque ?", "Quand ferme la banque ?"),
        ("Est-ce que les chiens sont admis ?", "Est-ce que les chiens ne sont pas admis ?"),
        ("Combien coûtent deux places ?", "Combien coûtent douze places ?"),
        ("Où habite mon frère ?", "Où habite ma sœur ?"),
        ("Quelle est la capitale du Mali ?", "Quelle est la capitale du Malawi ?"),
        ("Il est interdit de fumer ici ?", "Il est permis de fumer ici ?"),
        ("Comment augmenter le volume ?", "Comment baisser le volume ?"),
        ("Est-ce que Paul connaît Marie ?", "Est-ce que Marie connaît Paul ?"),
    ),
    "es": (
        ("¿Cómo abro una cuenta?", "¿Cómo cierro una cuenta?"),
        ("¿Cuánto cuesta el desayuno?", "¿Cuánto cuesta la cena?"),
        ("¿Puedo fumar en el balcón?", "¿No puedo fumar en el balcón?"),
        ("¿Quién ganó el partido?", "¿Quién perdió el partido?"),
        ("¿Dónde está la entrada?", "¿Dónde está la salida?"),
        ("¿Es seguro beber el agua?", "¿Es peligroso beber el agua?"),
        ("¿Cuál es la capital de Ecuador?", "¿Cuál es la capital de Uruguay?"),
        ("¿Cómo se dice perro en inglés?", "¿Cómo se dice gato en inglés?"),
        ("¿Qué tiempo hace en Málaga?", "¿Qué tiempo hizo en Málaga?"),
        ("¿Cuántos metros tiene una milla?", "¿Cuántos pies tiene una milla?"),
        ("¿El gato persigue al perro?", "¿El perro persigue al gato?"),
        ("Necesito ayuda con mi factura.", "Necesito ayuda con mi reserva."),
    ),
    "zh": (
        ("法国的首都是哪里?", "德国的首都是哪里?"),
        ("我可以在这里停车吗?", "我不可以在这里停车吗?"),
        ("怎么打开蓝牙?", "怎么关闭蓝牙?"),
        ("博物馆几点开门?", "博物馆几点关门?"),
        ("这个药一天吃三次吗?", "这个药一天吃两次吗?"),
        ("谁赢了比赛?", "谁输了比赛?"),
        ("从上海到北京的火车票多少钱?", "从北京到上海的火车票多少钱?"),
        ("我的订单什么时候发货?", "我的订单什么时候退款?"),
        ("猫怕狗吗?", "狗怕猫吗?"),
        ("水的沸点是多少?", "水的冰点是多少?"),
        ("他是老师吗?", "她是老师吗?"),
        ("如何增加内存?", "如何减少内存?"),
    ),
}
MIXED: Final = {
    "to English": (
        ("Wie kündige ich meinen Vertrag?", "How do I cancel my contract?"),
        ("¿Cómo abro una cuenta?", "How do I open an account?"),
        ("Quelle est la capitale du Mali ?", "What is the capital of Mali?"),
        ("法国的首都是哪里?", "What is the capital of France?"),
    ),
}
FAQ: Final = (
    ("Wie kündige ich meinen Vertrag?", "Wie kann ich meinen Vertrag kündigen?"),
    ("Was kostet der Versand?", "Wie teuer ist der Versand?"),
    ("wie setze ich mein passwort zurück", "Wie setze ich mein Passwort zurück?"),
    ("Quel est le prix du billet ?", "Combien coûte le billet ?"),
    ("Comment changer mon mot de passe ?", "Comment puis-je changer mon mot de passe ?"),
    ("quels sont vos horaires", "Quels sont vos horaires ?"),
    ("¿Cómo abro una cuenta?", "¿Cómo puedo abrir una cuenta?"),
    ("¿Cuánto cuesta el envío?", "¿Qué precio tiene el envío?"),
    ("donde esta la entrada", "¿Dónde está la entrada?"),
    ("法国的首都是哪里?", "法国的首都是哪座城市?"),
    ("怎么打开蓝牙?", "如何打开蓝牙?"),
    ("博物馆几点开门?", "博物馆几点开门"),
)


def traps() -> Iterator[Pair]:
    """Of one language, or of two, that need different answers: who asks in Chinese reads Chinese."""
    yield from paired(TRAPS)
    yield from paired(MIXED)


def paraphrases() -> Iterator[Pair]:
    """The same question in one language."""
    yield from alike(FAQ)
