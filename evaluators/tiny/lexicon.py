"""Words and number words of the tiny multilingual task, in eight languages.

Nouns are singular and carry no article, so that a list of two is a translation word by word and
no rule of agreement is needed.  Words that two languages spell alike are kept: that is how the
languages are.
"""

from __future__ import annotations

LANGUAGES = ("fr", "de", "es", "it", "pt", "nl", "sv", "id")

# English, then one column a language in the order of LANGUAGES.
_TABLE = """
cat     chat    Katze   gato    gatto   gato    kat     katt    kucing
dog     chien   Hund    perro   cane    cão     hond    hund    anjing
bird    oiseau  Vogel   pájaro  uccello pássaro vogel   fågel   burung
fish    poisson Fisch   pez     pesce   peixe   vis     fisk    ikan
horse   cheval  Pferd   caballo cavallo cavalo  paard   häst    kuda
cow     vache   Kuh     vaca    mucca   vaca    koe     ko      sapi
water   eau     Wasser  agua    acqua   água    water   vatten  air
bread   pain    Brot    pan     pane    pão     brood   bröd    roti
milk    lait    Milch   leche   latte   leite   melk    mjölk   susu
salt    sel     Salz    sal     sale    sal     zout    salt    garam
apple   pomme   Apfel   manzana mela    maçã    appel   äpple   apel
egg     œuf     Ei      huevo   uovo    ovo     ei      ägg     telur
house   maison  Haus    casa    casa    casa    huis    hus     rumah
door    porte   Tür     puerta  porta   porta   deur    dörr    pintu
window  fenêtre Fenster ventana finestra janela raam    fönster jendela
table   table   Tisch   mesa    tavolo  mesa    tafel   bord    meja
chair   chaise  Stuhl   silla   sedia   cadeira stoel   stol    kursi
bed     lit     Bett    cama    letto   cama    bed     säng    kasur
book    livre   Buch    libro   libro   livro   boek    bok     buku
key     clé     Schlüssel llave chiave  chave   sleutel nyckel  kunci
sun     soleil  Sonne   sol     sole    sol     zon     sol     matahari
moon    lune    Mond    luna    luna    lua     maan    måne    bulan
star    étoile  Stern   estrella stella estrela ster    stjärna bintang
rain    pluie   Regen   lluvia  pioggia chuva   regen   regn    hujan
snow    neige   Schnee  nieve   neve    neve    sneeuw  snö     salju
wind    vent    Wind    viento  vento   vento   wind    vind    angin
fire    feu     Feuer   fuego   fuoco   fogo    vuur    eld     api
sea     mer     Meer    mar     mare    mar     zee     hav     laut
tree    arbre   Baum    árbol   albero  árvore  boom    träd    pohon
flower  fleur   Blume   flor    fiore   flor    bloem   blomma  bunga
hand    main    Hand    mano    mano    mão     hand    hand    tangan
eye     œil     Auge    ojo     occhio  olho    oog     öga     mata
head    tête    Kopf    cabeza  testa   cabeça  hoofd   huvud   kepala
heart   cœur    Herz    corazón cuore   coração hart    hjärta  jantung
day     jour    Tag     día     giorno  dia     dag     dag     hari
night   nuit    Nacht   noche   notte   noite   nacht   natt    malam
year    an      Jahr    año     anno    ano     jaar    år      tahun
friend  ami     Freund  amigo   amico   amigo   vriend  vän     teman
king    roi     König   rey     re      rei     koning  kung    raja
city    ville   Stadt   ciudad  città   cidade  stad    stad    kota
"""

NOUNS: dict[str, dict[str, str]] = {}
for _line in _TABLE.strip().splitlines():
    _english, *_words = _line.split()
    NOUNS[_english] = dict(zip(LANGUAGES, _words, strict=True))

_UNITS = {
    "fr": "zéro un deux trois quatre cinq six sept huit neuf dix onze douze treize quatorze "
    "quinze seize dix-sept dix-huit dix-neuf",
    "de": "null eins zwei drei vier fünf sechs sieben acht neun zehn elf zwölf dreizehn "
    "vierzehn fünfzehn sechzehn siebzehn achtzehn neunzehn",
    "es": "cero uno dos tres cuatro cinco seis siete ocho nueve diez once doce trece catorce "
    "quince dieciséis diecisiete dieciocho diecinueve",
    "it": "zero uno due tre quattro cinque sei sette otto nove dieci undici dodici tredici "
    "quattordici quindici sedici diciassette diciotto diciannove",
    "pt": "zero um dois três quatro cinco seis sete oito nove dez onze doze treze catorze "
    "quinze dezesseis dezessete dezoito dezenove",
    "nl": "nul een twee drie vier vijf zes zeven acht negen tien elf twaalf dertien veertien "
    "vijftien zestien zeventien achttien negentien",
    "sv": "noll ett två tre fyra fem sex sju åtta nio tio elva tolv tretton fjorton femton "
    "sexton sjutton arton nitton",
    "id": "nol satu dua tiga empat lima enam tujuh delapan sembilan",
}
_TENS = {
    "fr": "vingt trente quarante cinquante soixante",
    "de": "zwanzig dreißig vierzig fünfzig sechzig siebzig achtzig neunzig",
    "es": "veinte treinta cuarenta cincuenta sesenta setenta ochenta noventa",
    "it": "venti trenta quaranta cinquanta sessanta settanta ottanta novanta",
    "pt": "vinte trinta quarenta cinquenta sessenta setenta oitenta noventa",
    "nl": "twintig dertig veertig vijftig zestig zeventig tachtig negentig",
    "sv": "tjugo trettio fyrtio femtio sextio sjuttio åttio nittio",
}


def _french(number: int) -> str:
    units, tens = _UNITS["fr"].split(), _TENS["fr"].split()
    if number < 70:
        ten, unit = tens[number // 10 - 2], number % 10
        if unit == 0:
            return ten
        return f"{ten} et un" if unit == 1 else f"{ten}-{units[unit]}"
    if number < 80:
        return "soixante et onze" if number == 71 else f"soixante-{units[number - 60]}"
    return "quatre-vingts" if number == 80 else f"quatre-vingt-{units[number - 80]}"


def _italian(ten: str, unit: int, units: list[str]) -> str:
    if unit in (1, 8):  # the ten loses its vowel before uno and otto
        ten = ten[:-1]
    return ten + ("tré" if unit == 3 else units[unit])


def _spanish(number: int, ten: str, unit: int, units: list[str]) -> str:
    if number < 30:
        accented = {22: "veintidós", 23: "veintitrés", 26: "veintiséis"}
        return accented.get(number, "veinti" + units[unit])
    return f"{ten} y {units[unit]}"


def _indonesian(number: int, units: list[str]) -> str:
    if number in (10, 11):
        return "sepuluh" if number == 10 else "sebelas"
    if number < 20:
        return f"{units[number - 10]} belas"
    ten, unit = divmod(number, 10)
    return f"{units[ten]} puluh" + (f" {units[unit]}" if unit else "")


def number_word(language: str, number: int) -> str:
    """Spells a number from 0 to 99.

    Args:
        language: one of LANGUAGES.
        number: the number, 0 to 99.

    Returns:
        The cardinal as it is written in that language.

    Raises:
        ValueError: the number is outside 0 to 99.
    """
    if not 0 <= number <= 99:
        raise ValueError(f"number_word spells 0 to 99, not {number}")
    units = _UNITS[language].split()
    if number < len(units):
        return units[number]
    if language == "id":
        return _indonesian(number, units)
    if language == "fr":
        return _french(number)
    unit = number % 10
    ten = _TENS[language].split()[number // 10 - 2]
    if unit == 0:
        return ten
    if language == "it":
        return _italian(ten, unit, units)
    if language == "es":
        return _spanish(number, ten, unit, units)
    if language == "pt":
        return f"{ten} e {units[unit]}"
    if language == "sv":
        return ten + units[unit]
    if language == "de":
        return f"{'ein' if unit == 1 else units[unit]}und{ten}"
    # Dutch: a diaeresis where the unit ends in e (tweeëntwintig, drieënvijftig)
    return f"{units[unit]}{'ën' if unit in (2, 3) else 'en'}{ten}"
