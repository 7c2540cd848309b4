"""Real words in the encodings of many countries: decoded as written, or not at all."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.datasets.archives.legacy_text import decode_legacy, decode_text

CHINESE = "猫 狗 圆盘 圆环 汽车 行人 红绿灯 苹果 安全帽 口罩 裂纹 划痕 训练集 测试 图片 玻璃 副本"
TAIWAN = "貓 狗 圓盤 汽車 行人 紅綠燈 蘋果 安全帽 口罩 裂紋 訓練集 測試 圖片 玻璃 資料夾 許可"
JAPANESE = "犬 猫 車 自転車 歩行者 りんご バナナ ねこ ヘルメット 画像 テスト 傷 不良品 表示 能力"
KOREAN = "고양이 자동차 사람 자전거 신호등 사과 안전모 마스크 균열 훈련 검증 테스트 이미지 결함"
RUSSIAN = (
    "кошка собака машина человек велосипед светофор яблоко каска трещина проверка Москва кабина"
)
FRENCH = "café école forêt île âne garçon fenêtre vélo éléphant tête mère hélicoptère château déjà"
GERMAN = "Müller Straße groß Bär Vögel Äpfel Übung Fußgänger Schlüssel Löwe Käfer Brücke weiß"
SPANISH = (
    "niño niña ratón árbol león pájaro camión avión señal corazón jardín máscara semáforo país"
)
PORTUGUESE = "cão pão mãe maçã limão avião coração ações leões órgão pássaro ônibus criança três"
SWEDISH = "älg björn får häst kött träd båt hjälm människa blå grön"

WORDS = {
    "gbk": CHINESE,
    "big5": TAIWAN,
    "cp932": JAPANESE,
    "cp949": KOREAN,
    "cp1251": RUSSIAN,
    "cp866": RUSSIAN,
    "cp1252": f"{FRENCH} {GERMAN} {SPANISH} {PORTUGUESE}",
    "cp437": f"{FRENCH} {GERMAN} {SPANISH}",
    "cp850": SWEDISH,
}
FOLDERS = st.sampled_from(["train/{0}/{0}{1}.jpg", "val/{0}/IMG {1}.jpg", "{0}/a-{1}.png", "{0}"])


@st.composite
def names(draw: st.DrawFn, words: str, least: int) -> list[str]:
    chosen = draw(st.lists(st.sampled_from(words.split()), min_size=least, unique=True))
    return [draw(FOLDERS).format(word, draw(st.integers(0, 9999))) for word in chosen]


def is_utf8(text: bytes) -> bool:
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True


def decoded(encoding: str, texts: list[str]) -> tuple[list[str] | None, list[str]]:
    """Return the texts as they are read, or None, and as they were written."""
    written = [text for text in texts if not is_utf8(text.encode(encoding))]
    found = decode_legacy([text.encode(encoding) for text in written])
    if found is None:
        return None, written
    return [text.encode(encoding).decode(found) for text in written], written


class TestLegacyNames:
    @pytest.mark.parametrize("encoding", WORDS)
    @settings(max_examples=20, deadline=None)
    @given(data=st.data())
    def test_a_few_words_are_read_as_written_or_not_at_all(
        self, encoding: str, data: st.DataObject
    ) -> None:
        read, written = decoded(encoding, data.draw(names(WORDS[encoding], 2)))

        assert read in (None, written)

    @pytest.mark.parametrize("encoding", WORDS)
    @settings(max_examples=15, deadline=None)
    @given(data=st.data())
    def test_many_words_are_read_as_written(self, encoding: str, data: st.DataObject) -> None:
        read, written = decoded(encoding, data.draw(names(WORDS[encoding], 10)))

        assert read == written

    @settings(max_examples=40, deadline=None)
    @given(data=st.data(), encoding=st.sampled_from(["gbk", "cp932", "cp1251", "cp1252"]))
    def test_utf_8_mixed_with_another_encoding_has_no_answer(
        self, data: st.DataObject, encoding: str
    ) -> None:
        texts = data.draw(names(WORDS[encoding], 4))
        samples = [text.encode() for text in texts[1:]] + [texts[0].encode(encoding)]

        assert decode_legacy(samples) is None or is_utf8(samples[-1])

    @settings(max_examples=40, deadline=None)
    @given(st.lists(st.binary(max_size=40), max_size=5))
    def test_any_bytes_have_an_encoding_that_decodes_them_or_none(
        self, samples: list[bytes]
    ) -> None:
        encoding = decode_legacy(samples)

        assert encoding is None or all(sample.decode(encoding) is not None for sample in samples)

    def test_letters_win_over_the_lines_of_cp437(self) -> None:
        assert decode_legacy(["кошка/собака".encode("cp1251")]) == "cp1251"

    def test_ascii_has_no_answer(self) -> None:
        assert decode_legacy([b"train/a.jpg"]) is None

    def test_many_names_are_judged_by_a_part_of_them(self) -> None:
        samples = [f"train/圆盘/{number:06d}.jpg".encode("gbk") for number in range(50_000)]

        assert decode_legacy(samples) == "gbk"


TEXT = "names:\n  0: café\n  1: niño\n"


class TestTexts:
    @pytest.mark.parametrize(
        ("content", "encoding"),
        [
            (TEXT.encode(), "utf-8"),
            (TEXT.encode("utf-8-sig"), "utf-8"),
            (TEXT.encode("utf-16"), "utf-16"),
            (b"\xfe\xff" + TEXT.encode("utf-16-be"), "utf-16"),
            (TEXT.encode("utf-32"), "utf-32"),
            (TEXT.encode("cp1252"), "cp1252"),
        ],
    )
    def test_a_text_is_decoded_without_its_mark(self, content: bytes, encoding: str) -> None:
        assert decode_text(content) == (TEXT, encoding)

    @pytest.mark.parametrize(
        ("text", "encoding"),
        [
            ("names: ['кошка', 'собака'] # наши классы", "cp1251"),
            ("names: [绿圆, 灰环]\n", "gbk"),
            ("names: [ねこ, 犬]\n", "cp932"),
            ("# a set – “mine”, 20 °C\nnames: [disc]\n", "cp1252"),  # noqa: RUF001 -- a dash
        ],
    )
    def test_a_legacy_text_is_decoded(self, text: str, encoding: str) -> None:
        assert decode_text(text.encode(encoding)) == (text, encoding)

    @pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"\xff\xd8\xff\xe0\x00\x10", b"\x80" * 9])
    def test_what_is_no_text_has_no_answer(self, content: bytes) -> None:
        assert decode_text(content) is None
