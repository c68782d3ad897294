"""The words spoken among the samples: one small original text a language."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Reading:
    """A text, and who reads it into which file."""

    file: str  # below samples/speech; its suffix chooses the format
    sample_rate: int  # Hz, of the file
    voice: str  # of espeak-ng: a language, and a variant after "+"
    words_per_minute: int
    text: str


READINGS = (
    Reading(
        "english_weather.wav",
        16_000,
        "en-gb+f3",
        165,
        "Good morning. The fog lifts from the valley at about nine, and behind it comes a dry and "
        "windy day. Towards evening the wind falls asleep, and the stars come out.",
    ),
    Reading(
        "german_story.flac",
        22_050,
        "de+m3",
        160,
        "Es war einmal ein Leuchtturm, der sich vor der Dunkelheit fürchtete. Jeden Abend zündete "
        "er sein Licht an, nur um sich selbst zu beruhigen. Die Schiffe aber glaubten, er denke "
        "an sie, und sie hatten recht.",
    ),
    Reading(
        "french_sound.opus",
        48_000,
        "fr-fr+f2",
        160,
        "Un son n'est qu'un peu d'air qui tremble. Frappez une cloche : le métal bouge, l'air le "
        "suit, et votre oreille raconte le reste. Le silence, lui, commence quand plus rien ne "
        "bouge.",
    ),
    Reading(
        "spanish_sea.mp3",
        22_050,
        "es+m1",
        165,
        "Anoche el mar cambió de voz. Primero fue un murmullo entre las piedras, después un tambor "
        "lejano, y al amanecer, cuando bajó la marea, solo quedaron las gaviotas discutiendo por "
        "el desayuno.",
    ),
    Reading(
        "russian_snow.ogg",
        16_000,
        "ru+f4",
        150,
        "Первый снег выпал ночью, тихо, без ветра. Утром город говорил шёпотом. Дети вышли во двор "
        "и молча слушали, как под ногами скрипит зима.",
    ),
    Reading(
        "hindi_rain.opus",
        24_000,
        "hi+m2",
        150,
        "पहली बारिश की बूँदें टीन की छत पर गिरीं। दादी ने कहा, सुनो, आज बादल गाना गा रहे हैं। "
        "हम सब चुप हो गए, और गीत देर तक चलता रहा।",
    ),
    Reading(
        "mandarin_wind.mp3",
        44_100,
        "cmn-latn-pinyin+f1",
        170,
        # In Chinese characters: 清晨,风从山上下来,轻轻推开窗户。院子里的竹子沙沙作响,
        # 好像在讲一个很长的故事。我听了一会,忘了烧水。
        "qing1chen2, feng1 cong2 shan1shang5 xia4lai2, qing1qing1 tui1kai1 chuang1hu5. "
        "yuan4zi5 li5 de5 zhu2zi5 sha1sha1 zuo4xiang3, hao3xiang4 zai4 jiang3 yi2 ge5 hen3 chang2 "
        "de5 gu4shi5. wo3 ting1 le5 yi2hui4, wang4 le5 shao1shui3.",
    ),
    Reading(
        "swahili_drum.flac",
        8_000,
        "sw+m4",
        175,
        "Asubuhi ngoma ililia mara tatu. Watu wa kijiji walijua maana yake: mvua inakuja. "
        "Walikusanya nguo, wakafunga madirisha, kisha wakakaa barazani kusubiri wimbo wa matone.",
    ),
)
