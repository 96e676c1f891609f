"""Words that say little in any text: articles, pronouns, auxiliaries, question words.

Data only. A short list per language; it need not be complete, because words that are frequent in
the text at hand weigh little anyway. Words that are content in another language of this list
(German "war", Spanish "son") are left out.
"""

_ENGLISH = """
a about after again all also am an and any are as at be because been before being between both but
by can could did do does doing down during each either few for from had has have having he her here
hers him his how i if in into is it its itself just may me might more most much must my no nor not
of off on once only or other our out over own per same shall she should so some such than that the
their them then there these they this those through to too under until up upon us very was we were
what when where whether which while who whom whose why will with within without would you your
yours
"""
_GERMAN = """
aber alle als am an auch auf aus bei bin bis da damit dann das dass dem der des dessen dies
diese dieser dieses doch du durch ein eine einem einen einer eines er es für hatte hier ich ihr
ihre im ist ja kann kein keine mehr nach nicht noch ob oder ohne sehr sein seine sich
sie sind so über um und uns unter vom von vor waren warum was weil welche welcher wenn wer
werden wie wird wir wo wurde wurden zu zum zur
"""
_FRENCH = """
au aux avec ce ces cette comme comment dans de des du elle en et eu il ils je la le les leur
lui mais ne nous on ou où par pas plus pourquoi qu quand que quel quelle quels quelles qui sa
se ses sont sur un une vous était être ont été fait
"""
_SPANISH = """
al cuál cuáles cuando cuándo cuánto cuántos de del donde dónde el ella en es esta este
fue ha han la las lo los más no o para pero por porque qué que quien quién se ser si sin sobre
su sus también un una y ya cómo
"""
_ITALIAN_PORTUGUESE = """
anche che ci cosa da dai dal dalla degli dei del della delle di e gli i il in
io la le lo ma nel nella non o per perché più quale quali quando quanto sono sua sul sulla suo un
una ao aos as até com ele ela em essa esse foi isso mais mas na nas no nos não o os ou para pela
pelo por quais qual quando quanto que quem se sem ser seu sua são também um uma à é
"""
_DUTCH = """
aan als bij dat de der deze dit door een en er haar heeft het hij hoe hun in is maar met naar
niet nog of om ook op over te tot uit van voor waar was wat welke wie wordt zich zijn
"""
_RUSSIAN = """
а без был была были было быть в вам вас во вот все всё где да для до его ее её если есть еще же за
и из или им их как какая какие какой когда кто ли мы на не него нет но о об он она они от по под
при с сколько со так также то том ты у уже что чтобы это этот я
"""

STOP_WORDS = frozenset(
    f"{_ENGLISH} {_GERMAN} {_FRENCH} {_SPANISH} {_ITALIAN_PORTUGUESE} {_DUTCH} {_RUSSIAN}".split()
)
